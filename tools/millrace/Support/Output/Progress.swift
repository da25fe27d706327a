import Glibc

/// A line on a terminal that says how far a long operation is.
///
/// Silent elsewhere.
package struct Progress: ~Copyable {
  private static let interval: Duration = .milliseconds(100)

  private let verb: String
  private let unit: String
  private let total: Int?
  private let isShown: Bool
  private let began: ContinuousClock.Instant
  private var lastShown: ContinuousClock.Instant
  private var width = 0

  /// Starts to measure.
  ///
  /// - Parameters:
  ///   - verb: What is done, such as `ingesting`.
  ///   - unit: What is counted, such as `events`.
  ///   - total: How many there will be, if that is known.
  ///   - isQuiet: Whether the user asked for silence.
  package init(_ verb: String, unit: String, total: Int? = nil, isQuiet: Bool) {
    self.verb = verb
    self.unit = unit
    self.total = total
    isShown = !isQuiet && isatty(STDERR_FILENO) == 1
    began = .now
    lastShown = began
  }

  /// Shows a count, at most ten times a second.
  package mutating func update(_ count: Int) {
    guard isShown else { return }
    let now = ContinuousClock.now
    guard now - lastShown >= Self.interval else { return }
    lastShown = now
    let text = Self.text(verb, unit, count: count, total: total, elapsed: now - began)
    // Spaces cover what a longer line before left behind.
    let padding = String(repeating: " ", count: max(0, width - text.count))
    width = text.count
    StandardError.write("\r\(text)\(padding)")
  }

  /// Removes the line.
  ///
  /// To be called before anything else is written.
  package mutating func finish() {
    guard width > 0 else { return }
    StandardError.write("\r\(String(repeating: " ", count: width))\r")
    width = 0
  }

  package static func text(
    _ verb: String, _ unit: String, count: Int, total: Int?, elapsed: Duration
  ) -> String {
    let seconds = elapsed / .seconds(1)
    let rate = seconds > 0 ? Int(Double(count) / seconds) : 0
    var text = "\(verb): \(count)"
    if let total, total > 0 {
      text += " of \(total) \(unit) (\(min(count, total) * 100 / total)%)"
    } else {
      text += " \(unit)"
    }
    return text + ", \(rate)/s"
  }
}
