import CommandSupport

/// What an ingest ends with.
struct IngestSummary {
  let tally: Ingestion.Tally
  /// What the store's files grew by.
  let bytesOnDisk: Int
  let elapsed: Duration

  private var seconds: Double { max(elapsed / .seconds(1), 1e-6) }

  /// Bytes of text for each byte on disk, to two places; nil if nothing was stored.
  private var ratio: Double? {
    guard tally.events > 0, bytesOnDisk > 0 else { return nil }
    return (Double(tally.textBytes) / Double(bytesOnDisk) * 100).rounded() / 100
  }

  private var eventsPerSecond: Int { Int((Double(tally.events) / seconds).rounded()) }

  var json: JSONValue {
    [
      "events": .integer(tally.events),
      "rejectedLines": .integer(tally.rejectedLines),
      "inputBytes": .integer(tally.textBytes),
      "bytesOnDisk": .integer(bytesOnDisk),
      "ratio": ratio.map(JSONValue.number) ?? .null,
      "seconds": .number((seconds * 1_000_000).rounded() / 1_000_000),
      "eventsPerSecond": .integer(eventsPerSecond),
    ]
  }

  var text: String {
    var text = "\(tally.events) events from \(tally.textBytes) bytes in \(rounded(seconds)) s"
    text += " (\(eventsPerSecond) events/s)"
    text += "; \(bytesOnDisk) bytes on disk"
    if let ratio { text += ", ratio \(rounded(ratio))" }
    if tally.rejectedLines > 0 { text += "; \(tally.rejectedLines) lines rejected" }
    return text
  }

  private func rounded(_ value: Double) -> String {
    let hundredths = Int((value * 100).rounded())
    let fraction = hundredths % 100
    return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction)"
  }
}
