/// A decimal number as written, kept exactly where it matters: 18 digits and an exponent.
struct DecimalNumber {
  private let isNegative: Bool
  /// The digits, at most 18 of them that count.
  private let digits: Int64
  /// The number is `digits` times this power of ten.
  private let exponent: Int

  /// Reads a number as JSON writes it; a `+` before it and leading zeros are let pass.
  init(_ text: Span<UInt8>) throws(BadLine) {
    let zero = UInt8(ascii: "0")
    var position = 0
    func isDigit(_ index: Int) -> Bool {
      index < text.count && zero...UInt8(ascii: "9") ~= text[index]
    }
    isNegative = text.count > 0 && text[0] == UInt8(ascii: "-")
    if isNegative || (text.count > 0 && text[0] == UInt8(ascii: "+")) { position += 1 }
    var digits: Int64 = 0
    var exponent = 0
    var digitCount = 0
    var afterPoint = false
    while position < text.count {
      if text[position] == UInt8(ascii: "."), !afterPoint, digitCount > 0, isDigit(position + 1) {
        afterPoint = true
        position += 1
      }
      guard isDigit(position) else { break }
      // Further digits are below a microsecond in every time that is accepted.
      if digits < 100_000_000_000_000_000 {
        digits = digits * 10 + Int64(text[position] - zero)
        if afterPoint { exponent -= 1 }
      } else if !afterPoint {
        exponent += 1
      }
      digitCount += 1
      position += 1
    }
    if digitCount > 0, position < text.count, text[position] | 0x20 == UInt8(ascii: "e") {
      position += 1
      let isDown = position < text.count && text[position] == UInt8(ascii: "-")
      if isDown || (position < text.count && text[position] == UInt8(ascii: "+")) { position += 1 }
      digitCount = 0
      var power = 0
      while isDigit(position) {
        power = min(power * 10 + Int(text[position] - zero), 100_000)
        digitCount += 1
        position += 1
      }
      exponent += isDown ? -power : power
    }
    guard digitCount > 0, position == text.count else {
      throw BadLine(
        "'\(TimeFields.excerpt(text))' is no time: "
          + "write it as 2024-05-01T12:00:00Z or as a number since 1970")
    }
    self.digits = digits
    self.exponent = exponent
  }

  /// Whether the number without its sign is below a power of ten.
  func isBelow(powerOfTen power: Int) -> Bool {
    digits == 0 || String(digits).utf8.count + exponent <= power
  }

  /// The number times a power of ten, cut to an integer; nil if that is too large.
  func scaled(byPowerOfTen power: Int) -> Int64? {
    var value = digits
    var steps = exponent + power
    while steps < 0, value != 0 {
      value /= 10
      steps += 1
    }
    while steps > 0, value != 0 {
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      guard !overflow else { return nil }
      value = product
      steps -= 1
    }
    return isNegative ? -value : value
  }
}
