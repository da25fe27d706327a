import Glibc

/// The bytes of one input, decompressed where they begin with the magic of gzip or zstd.
///
/// One owner at a time; closes its descriptor when released unless it is standard input.
package final class ByteStream {
  /// What one read gave.
  package enum Reading: Hashable, Sendable {
    /// This many bytes were written to the front of the buffer.
    case bytes(Int)
    /// The input has ended.
    case end
    /// More may come, and waiting for it was not asked for.
    case nothingAtHand
  }

  /// The name of the input in messages.
  package let name: String
  /// Bytes taken from the descriptor so far, before decompression.
  package private(set) var inputBytes = 0
  /// Bytes given so far, after decompression.
  package private(set) var textBytes = 0

  private let descriptor: Int32
  private let closes: Bool
  private var decoder: any StreamDecoder
  private var detected = false
  private var source = SourceBuffer()
  private var sourceEnded = false

  /// Takes over an open descriptor.
  package init(descriptor: Int32, name: String, closes: Bool) {
    self.descriptor = descriptor
    self.name = name
    self.closes = closes
    decoder = PlainDecoder()
  }

  deinit {
    if closes { _ = Glibc.close(descriptor) }
  }

  /// Reads once; with `waits` false it gives ``Reading/nothingAtHand`` where it would have to wait.
  package func read(into output: inout OutputSpan<UInt8>, waits: Bool) throws(InputError) -> Reading
  {
    precondition(output.freeCapacity > 0, "a read needs room")
    while !detected {
      if source.count >= 4 || sourceEnded {
        try detect()
      } else if try !fill(waits: waits) {
        return .nothingAtHand
      }
    }
    let before = output.count
    while true {
      // A decoder may hold back output although its input is used up, so it is asked first.
      try decode(into: &output)
      if output.count > before {
        textBytes += output.count - before
        return .bytes(output.count - before)
      }
      if sourceEnded {
        guard decoder.isAtBoundary else {
          throw InputError(file: name, .truncated(format: decoder.format))
        }
        return .end
      }
      guard try fill(waits: waits) else { return .nothingAtHand }
    }
  }

  private func decode(into output: inout OutputSpan<UInt8>) throws(InputError) {
    do {
      try decoder.decode(&source, into: &output)
    } catch {
      throw InputError(file: name, .corrupt(format: decoder.format, detail: error.detail))
    }
  }

  private func detect() throws(InputError) {
    detected = true
    let magic = source.prefix(4)
    do {
      if magic.starts(with: [0x1f, 0x8b]) {
        decoder = try GzipDecoder()
      } else if ZstdDecoder.recognises(magic) {
        decoder = try ZstdDecoder()
      } else if magic.count < 4, name.hasSuffix(".gz") || name.hasSuffix(".zst") {
        // Too short for any magic: without this a compressed file cut to nothing would pass as an
        // input without events.
        throw InputError(
          file: name, .truncated(format: name.hasSuffix(".gz") ? "gzip" : "zstd"))
      }
    } catch let error as DecoderError {
      throw InputError(file: name, .corrupt(format: "compressed", detail: error.detail))
    } catch let error as InputError {
      throw error
    } catch {
      preconditionFailure("no other error is thrown above: \(error)")
    }
  }

  /// Takes more bytes from the descriptor; false if that would have meant waiting.
  private func fill(waits: Bool) throws(InputError) -> Bool {
    while true {
      if !waits, try !poll(timeout: 0) { return false }
      // SAFETY: the buffer hands out exactly its free space for the duration of the call.
      let count = unsafe source.fill { buffer in
        unsafe Glibc.read(descriptor, buffer.baseAddress, buffer.count)
      }
      let failure = errno
      if count > 0 {
        inputBytes += count
        return true
      }
      if count == 0 {
        sourceEnded = true
        return true
      }
      switch failure {
      case EINTR: continue
      case EAGAIN:
        guard waits else { return false }
        _ = try poll(timeout: -1)
      default: throw InputError(file: name, .failed(operation: "read", errno: failure))
      }
    }
  }

  /// Whether a read would return at once: with bytes, the end, or an error.
  private func poll(timeout: Int32) throws(InputError) -> Bool {
    var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    while true {
      // SAFETY: one request, alive for the call.
      let ready = unsafe Glibc.poll(&request, 1, timeout)
      if ready >= 0 { return ready > 0 }
      guard errno == EINTR else {
        throw InputError(file: name, .failed(operation: "wait for", errno: errno))
      }
    }
  }
}

/// Compressed bytes that wait for their decoder.
struct SourceBuffer {
  static let size = 128 << 10

  private var bytes = [UInt8](repeating: 0, count: size)
  private var start = 0
  private var end = 0

  var count: Int { end - start }

  func prefix(_ count: Int) -> ArraySlice<UInt8> { bytes[start..<min(start + count, end)] }

  /// Lets `body` write to the free space; adds the number of bytes it returns unless negative.
  mutating func fill(_ body: (UnsafeMutableRawBufferPointer) -> Int) -> Int {
    if start > 0 {
      let waiting = Array(bytes[start..<end])
      bytes.replaceSubrange(0..<waiting.count, with: waiting)
      start = 0
      end = waiting.count
    }
    precondition(end < bytes.count, "filled although nothing was consumed")
    let free = end
    // SAFETY: the slice ends inside the array, which stays in place during the closure.
    let added = unsafe bytes.withUnsafeMutableBytes { buffer in
      unsafe body(UnsafeMutableRawBufferPointer(rebasing: buffer[free...]))
    }
    end += max(0, added)
    return added
  }

  /// Uses up the zeros at the front.
  mutating func skipZeros() {
    while start < end, bytes[start] == 0 { start += 1 }
  }

  /// Lets `body` see the waiting bytes; it returns how many of them it used up.
  mutating func consume<Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Int
  ) throws(Failure) {
    let range = start..<end
    // SAFETY: the span keeps its bytes valid during the closure.
    let used = try unsafe bytes.span.extracting(range).withUnsafeBytes { buffer throws(Failure) in
      try unsafe body(buffer)
    }
    precondition(used <= range.count, "consumed \(used) of \(range.count) bytes")
    start = range.lowerBound + used
  }
}
