import ArgumentParser
package import EventModel

/// Where to begin or end reading: `earliest`, `latest`, a sequence number, a time, or a time
/// before now such as `-2h`.
package enum ReadPosition: Hashable, ParsedArgument {
  case earliest
  case latest
  case sequenceNumber(Offset)
  case time(Timestamp)
  case ago(Duration)

  /// The forms as messages name them.
  private static let forms =
    "earliest, latest, a sequence number, a time such as 2024-05-01T12:00:00Z, or -2h"

  package init(parsing text: String) throws(BadArgument) {
    switch text {
    case "earliest": self = .earliest
    case "latest": self = .latest
    case _ where text.hasPrefix("-"):
      self = .ago(try DurationText(parsing: String(text.dropFirst())).duration)
    case _ where !text.isEmpty && text.utf8.allSatisfy { 0x30...0x39 ~= $0 }:
      guard let number = UInt64(text) else {
        throw BadArgument("sequence number \(text) is too large")
      }
      self = .sequenceNumber(Offset(number))
    default:
      do {
        self = .time(try TimeText.parseRFC3339(Array(text.utf8).span))
      } catch {
        throw BadArgument(
          text.first?.isNumber == true
            ? error.description : "'\(text)' is no position; use \(Self.forms)")
      }
    }
  }

  /// The instant a time means; nil for positions that are none.
  package func instant(now: Timestamp) -> Timestamp? {
    switch self {
    case .time(let time): time
    case .ago(let duration): now.advanced(by: .zero - duration)
    case .earliest, .latest, .sequenceNumber: nil
    }
  }
}

/// The end of reading: a ``ReadPosition`` that is a sequence number or a time.
package struct ReadLimit: Hashable, ParsedArgument {
  package let position: ReadPosition

  package init(parsing text: String) throws(BadArgument) {
    position = try ReadPosition(parsing: text)
    guard position != .earliest, position != .latest else {
      throw BadArgument(
        "'\(text)' is no end; use a sequence number, a time such as 2024-05-01T12:00:00Z, or -2h")
    }
  }
}
