import ArgumentParser

/// A length of time as an argument: `500ms`, `2s`, `5m`, `1h`, `7d`.
package struct DurationText: Hashable, ParsedArgument {
  package let duration: Duration

  package init(parsing text: String) throws(BadArgument) {
    guard let (number, unit) = try QuantityText.split(text) else {
      throw BadArgument("'\(text)' is no duration; write one as 500ms, 2s, 5m, 1h or 7d")
    }
    let milliseconds: Int
    switch unit {
    case "ms": milliseconds = 1
    case "s": milliseconds = 1_000
    case "m": milliseconds = 60_000
    case "h": milliseconds = 3_600_000
    case "d": milliseconds = 86_400_000
    case "": throw BadArgument("'\(text)' is no duration: it needs a unit, as in \(text)s")
    default: throw BadArgument("'\(text)' is no duration: the units are ms, s, m, h and d")
    }
    let (product, overflow) = number.multipliedReportingOverflow(by: milliseconds)
    guard !overflow else { throw BadArgument("'\(text)' is too long a duration") }
    duration = .milliseconds(product)
  }
}
