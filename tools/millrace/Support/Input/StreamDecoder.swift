import Glibc

/// Turns the bytes of a file into the bytes it stands for.
protocol StreamDecoder: AnyObject {
  /// The format's name in messages.
  var format: String { get }

  /// Whether the input may end here.
  var isAtBoundary: Bool { get }

  /// Decodes as much as input and room allow; gives nothing only when it needs more input.
  func decode(
    _ source: inout SourceBuffer, into output: inout OutputSpan<UInt8>
  ) throws(DecoderError)
}

/// What a decompressor says about damaged data.
struct DecoderError: Error {
  let detail: String
}

extension OutputSpan<UInt8> {
  /// Appends a slice as one block; an element at a time is many times slower.
  mutating func append(copying bytes: ArraySlice<UInt8>) {
    precondition(bytes.count <= freeCapacity, "\(bytes.count) bytes in \(freeCapacity)")
    // SAFETY: both buffers are alive during the closures; the check above keeps the copy inside.
    unsafe withUnsafeMutableBufferPointer { buffer, count in
      unsafe bytes.withUnsafeBytes { source in
        guard let to = buffer.baseAddress, let from = source.baseAddress else { return }
        unsafe memcpy(to + count, from, source.count)
        count += source.count
      }
    }
  }
}

/// Hands bytes through.
final class PlainDecoder: StreamDecoder {
  let format = "plain"
  let isAtBoundary = true

  func decode(
    _ source: inout SourceBuffer, into output: inout OutputSpan<UInt8>
  ) throws(DecoderError) {
    // SAFETY: as below.
    unsafe source.consume { input in
      let used = min(input.count, output.freeCapacity)
      // SAFETY: both buffers are alive during the closures; `used` fits both.
      unsafe output.withUnsafeMutableBufferPointer { buffer, count in
        if used > 0, let to = buffer.baseAddress, let from = input.baseAddress {
          unsafe memcpy(to + count, from, used)
        }
        count += used
      }
      return used
    }
  }
}
