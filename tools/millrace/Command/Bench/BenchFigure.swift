import CommandSupport

/// One line of what was measured.
struct BenchFigure {
  let name: String
  /// What people read.
  let label: String
  let unit: String
  /// Units a second.
  let rate: Double
  /// Seconds of each operation, ascending; empty where one takes next to nothing.
  var latencies: [Double] = []
  /// What this machine allows of it, and what decides that.
  var allowed: (rate: Double, by: String)?

  var json: JSONValue {
    var value: JSONValue = [
      "name": .string(name), "rate": .number(rate), "unit": .string("\(unit)/s"),
    ]
    if !latencies.isEmpty {
      value.append("p50Microseconds", .number(percentile(50)))
      value.append("p99Microseconds", .number(percentile(99)))
    }
    if let allowed {
      value.append("allowedRate", .number(allowed.rate))
      value.append("allowedBy", .string(allowed.by))
    }
    return value
  }

  /// The cells of a table: the label, the rate, percentiles, what is allowed and by what.
  var cells: [String] {
    let speed =
      unit == "bytes"
      ? "\(Self.grouped(rate / 1e6)) MB/s" : "\(Self.grouped(rate)) \(unit)/s"
    return [
      label, speed,
      latencies.isEmpty ? "-" : Self.grouped(percentile(50)),
      latencies.isEmpty ? "-" : Self.grouped(percentile(99)),
      allowed.map { Self.grouped($0.rate) } ?? "-", allowed?.by ?? "-",
    ]
  }

  /// Microseconds that so many operations of a hundred take at most.
  private func percentile(_ share: Int) -> Double {
    latencies[(latencies.count - 1) * share / 100] * 1e6
  }

  /// A whole number with a comma after every third digit.
  static func grouped(_ value: Double) -> String {
    let digits = "\(Int(value.rounded()))"
    var text = ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index) % 3 == 0 { text += "," }
      text.append(digit)
    }
    return text
  }
}
