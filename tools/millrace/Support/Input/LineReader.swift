import Glibc

/// Splits a stream into lines.
///
/// Lines are slices of immutable chunks: no line is copied, and a line that is kept (as the body
/// of an event, say) keeps its chunk. A byte order mark at the start of the stream is dropped.
package struct LineReader {
  /// The longest line.
  ///
  /// Far above the largest event, far below what would hurt.
  package static let lineSizeMax = 16 << 20
  private static let chunkSize = 256 << 10

  private let stream: ByteStream
  private var chunk: [UInt8] = []
  /// Where the next line begins.
  private var start = 0
  /// Up to where no line end was found.
  private var scanned = 0
  private var isFirstChunk = true
  private var ended = false
  /// Whether the line is longer than a line may be: what comes of it is dropped.
  private var isTooLong = false

  /// The number of the line that was given last, from 1; blank lines count.
  package private(set) var lineNumber = 0

  /// Reads the lines of a stream, which the reader then owns.
  package init(_ stream: ByteStream) { self.stream = stream }

  /// The name of the input in messages.
  package var name: String { stream.name }

  /// Bytes read so far, before decompression.
  package var inputBytes: Int { stream.inputBytes }

  /// Bytes read so far, after decompression.
  package var textBytes: Int { stream.textBytes }

  /// The next line that is not blank, without its line feed and a carriage return before it.
  ///
  /// - Throws: ``InputError``; behind a line that is too long reading can go on.
  package mutating func next() throws(InputError) -> ArraySlice<UInt8>? {
    while let line = try nextUnstripped() {
      let stripped = line.last == 0x0d ? line.dropLast() : line
      if !stripped.isEmpty { return stripped }
    }
    return nil
  }

  /// The next line, blank or not, without its line feed.
  ///
  /// The last line needs none.
  package mutating func nextUnstripped() throws(InputError) -> ArraySlice<UInt8>? {
    while true {
      if let end = lineEnd() {
        let line = chunk[start..<end]
        start = min(end + 1, chunk.count)
        scanned = start
        lineNumber += 1
        if isTooLong {
          isTooLong = false
          throw InputError(
            file: stream.name, .lineTooLong(line: lineNumber, limit: Self.lineSizeMax))
        }
        return line
      }
      if ended { return nil }
      _ = try fill(waits: true)
    }
  }

  /// Whether the next line (or the end) can be had without waiting for the input.
  ///
  /// Takes in what is there already, so that half a line in a pipe does not look like a line.
  package mutating func hasLineAtHand() throws(InputError) -> Bool {
    while true {
      if lineEnd() != nil || ended { return true }
      if try !fill(waits: false) { return false }
    }
  }

  /// The end of the line that begins at `start`, if it is in the chunk.
  private mutating func lineEnd() -> Int? {
    let from = scanned
    if from < chunk.count {
      // SAFETY: `memchr` looks at the bytes from `from` to the end of the array, which the closure
      // keeps in place.
      let found = unsafe chunk.withUnsafeBytes { (buffer) -> Int? in
        guard let base = buffer.baseAddress else { return nil }
        let hit = unsafe memchr(base + from, 0x0a, buffer.count - from)
        return unsafe hit.map { unsafe UnsafeRawPointer($0) - base }
      }
      if let found {
        scanned = found
        return found
      }
      scanned = chunk.count
    }
    return ended && (start < chunk.count || isTooLong) ? chunk.count : nil
  }

  /// Replaces the chunk by one with the unfinished line and more; false if that meant waiting.
  private mutating func fill(waits: Bool) throws(InputError) -> Bool {
    if chunk.count - start > Self.lineSizeMax { isTooLong = true }
    let rest = isTooLong ? [] : chunk[start...]
    var reading = ByteStream.Reading.nothingAtHand
    // Twice the rest, so that a long line is copied a logarithmic number of times.
    let capacity = max(Self.chunkSize, rest.count * 2)
    let stream = stream
    let next = try [UInt8](capacity: capacity) { (output) throws(InputError) in
      output.append(copying: rest)
      reading = try stream.read(into: &output, waits: waits)
    }
    guard reading != .nothingAtHand else { return false }
    let wasScanned = isTooLong ? 0 : scanned - start
    chunk = next
    start = 0
    scanned = wasScanned
    ended = reading == .end
    if isFirstChunk { dropByteOrderMark() }
    return true
  }

  private mutating func dropByteOrderMark() {
    let mark: [UInt8] = [0xef, 0xbb, 0xbf]
    if chunk.count < mark.count, !ended, mark.starts(with: chunk) { return }
    isFirstChunk = false
    if chunk.starts(with: mark) {
      start = mark.count
      scanned = start
    }
  }
}
