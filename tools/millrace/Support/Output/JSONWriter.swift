/// Appends JSON to bytes with no more escapes than RFC 8259 §7 asks for.
package enum JSONWriter {
  private static let hexadecimal = Array("0123456789abcdef".utf8)

  /// Appends a string and its quotes.
  package static func appendString(_ text: String, to bytes: inout [UInt8]) {
    var text = text
    text.withUTF8Span { appendString($0, to: &bytes) }
  }

  /// Appends bytes that are known to be UTF-8 as a string with its quotes.
  package static func appendString(_ text: Span<UInt8>, to bytes: inout [UInt8]) {
    // SAFETY: bytes have no padding.
    appendString(unsafe text.bytes, to: &bytes)
  }

  /// Appends bytes that are known to be UTF-8 as a string with its quotes.
  package static func appendString(_ text: RawSpan, to bytes: inout [UInt8]) {
    // Most short strings need no escape: they are copied whole, without asking for more capacity.
    if SpecialBytes.first(in: text, from: 0) == text.byteCount {
      bytes.append(UInt8(ascii: "\""))
      // SAFETY: the span keeps its bytes valid during the closure; the array copies them.
      unsafe text.withUnsafeBytes { buffer in unsafe bytes.append(contentsOf: buffer) }
      bytes.append(UInt8(ascii: "\""))
      return
    }
    // Every byte takes six at most (`\u00XX`); eight more let the last word be stored whole.
    bytes.append(addingCapacity: text.byteCount * 6 + 10) { output in
      output.append(UInt8(ascii: "\""))
      // SAFETY: the capacity asked for above covers every store: at most six bytes for each byte
      // of the text, and one word beyond.
      unsafe output.withUnsafeMutableBufferPointer { buffer, count in
        unsafe escape(text, into: UnsafeMutableRawBufferPointer(buffer), &count)
      }
      output.append(UInt8(ascii: "\""))
    }
  }

  /// Appends an integer.
  package static func appendInteger(_ value: Int, to bytes: inout [UInt8]) {
    if value < 0 { bytes.append(UInt8(ascii: "-")) }
    appendInteger(UInt64(value.magnitude), to: &bytes)
  }

  /// Appends an integer.
  ///
  /// Not generic: other modules would call it unspecialised, many times as slow.
  package static func appendInteger(_ value: UInt64, to bytes: inout [UInt8]) {
    if value < 10 {
      bytes.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value))
      return
    }
    let start = bytes.count
    var rest = value
    while rest > 0 {
      let (quotient, digit) = rest.quotientAndRemainder(dividingBy: 10)
      bytes.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: digit))
      rest = quotient
    }
    bytes[start...].reverse()
  }

  /// Stores a word at a time up to the next byte that needs an escape.
  ///
  /// Text that is JSON itself has such bytes every few characters, so that copying runs between
  /// them would be mostly calls.
  @inline(__always)
  private static func escape(
    _ text: RawSpan, into buffer: UnsafeMutableRawBufferPointer, _ count: inout Int
  ) {
    guard let output = buffer.baseAddress else { return }
    var position = 0
    var end = count
    while position < text.byteCount {
      var run = 0
      if position &+ 8 <= text.byteCount {
        // SAFETY: the condition keeps eight bytes inside the text; the caller's capacity covers
        // the word stored.
        let word = unsafe text.unsafeLoadUnaligned(
          fromUncheckedByteOffset: position, as: UInt64.self)
        unsafe output.storeBytes(of: word, toByteOffset: end, as: UInt64.self)
        // With no mark there are 64 zeros: all eight bytes count.
        run = SpecialBytes.marks(UInt64(littleEndian: word)).trailingZeroBitCount >> 3
        position &+= run
        end &+= run
        if run == 8 { continue }
      }
      // SAFETY: the loop's condition, and a run shorter than the word, keep the byte inside.
      let byte = unsafe text.unsafeLoad(fromUncheckedByteOffset: position, as: UInt8.self)
      position &+= 1
      if SpecialBytes.contains(byte) {
        unsafe storeEscape(byte, output, &end)
      } else {
        unsafe output.storeBytes(of: byte, toByteOffset: end, as: UInt8.self)
        end &+= 1
      }
    }
    count = end
  }

  @inline(__always)
  private static func storeEscape(
    _ byte: UInt8, _ output: UnsafeMutableRawPointer, _ end: inout Int
  ) {
    let letter: UInt8
    switch byte {
    case 0x22, 0x5c: letter = byte
    case 0x08: letter = UInt8(ascii: "b")
    case 0x0c: letter = UInt8(ascii: "f")
    case 0x0a: letter = UInt8(ascii: "n")
    case 0x0d: letter = UInt8(ascii: "r")
    case 0x09: letter = UInt8(ascii: "t")
    default: letter = UInt8(ascii: "u")
    }
    // SAFETY: the caller's capacity covers six bytes for each byte of the text.
    unsafe output.storeBytes(of: UInt8(ascii: "\\"), toByteOffset: end, as: UInt8.self)
    unsafe output.storeBytes(of: letter, toByteOffset: end + 1, as: UInt8.self)
    end &+= 2
    guard letter == UInt8(ascii: "u") else { return }
    for digit in [0x30, 0x30, hexadecimal[Int(byte >> 4)], hexadecimal[Int(byte & 15)]] {
      unsafe output.storeBytes(of: digit, toByteOffset: end, as: UInt8.self)
      end &+= 1
    }
  }
}

extension String {
  /// Gives the bytes of the text as a span.
  fileprivate mutating func withUTF8Span(_ body: (Span<UInt8>) -> Void) {
    // SAFETY: the bytes stay in place during the closure.
    withUTF8 { buffer in
      body(unsafe buffer.span)
    }
  }
}
