internal import EventModel
internal import LogFormat
internal import StorageIO

/// Looks through the bytes of one file for file headers and frames, wherever they begin.
struct SalvageScan: ~Copyable {
  enum Found {
    case header(FileHeader)
    case batch(ScannedFrame, FrameContents.Batch, base: UInt32, isHealed: Bool)
    case edits([ManifestEdit], base: UInt32)
    case unsupported
    case damaged
  }

  /// Bytes that are searched at once.
  private static let windowSize = 1 << 20
  /// Bytes that may be checked in vain before the file's size sets the measure.
  private static let effortMin = 64 << 20
  /// What looking for a flipped bit costs beside a checksum.
  private static let healingCost = 16

  private let source: InspectedSource
  private let proof: FrameProof
  private var window = ByteBuffer(capacity: windowSize)
  private var windowStart = 0
  private var reachesEnd = false
  /// Where the file begins whose frames these are, as far as is known: at the last file header.
  private var origin = 0
  /// Bytes that were checked in vain.
  private var effort = 0

  init(_ source: InspectedSource, _ proof: FrameProof) {
    self.source = source
    self.proof = proof
  }

  /// Tells what there is, and now and then how far the search has come.
  mutating func run(_ visit: (Found) -> Void, progress: (Int) -> Void) {
    var position = 0
    while let place = nextMagic(from: position, progress) {
      position = examine(place, visit)
    }
    progress(source.size)
  }

  /// Where the next magic number stands; the whole header is in the window then, unless the file
  /// ends before.
  private mutating func nextMagic(from start: Int, _ progress: (Int) -> Void) -> Int? {
    var position = start
    while true {
      if !reachesEnd, position + FileHeader.size > windowStart + window.count {
        // Behind a window of zeros a hole of any size may lie.
        if window.count > 0, window.isZero {
          position = max(position, source.dataStart(from: position))
        }
        load(position)
        progress(position)
      }
      let end = windowStart + window.count
      guard position < end else { return nil }
      if let index = window.nextMagic(from: position - windowStart) {
        position = windowStart + index
        if reachesEnd || position + FileHeader.size <= end { return position }
      } else {
        // A magic number may begin in the last bytes.
        if reachesEnd { return nil }
        position = end - 7
      }
    }
  }

  private mutating func load(_ position: Int) {
    window.removeAll()
    windowStart = position
    let source = source
    _ = window.appendUpTo(Self.windowSize) { source.read(at: position, into: &$0) }
    reachesEnd = window.count < Self.windowSize
  }

  /// Judges what a magic number may begin.
  ///
  /// - Returns: where to search on.
  private mutating func examine(_ place: Int, _ visit: (Found) -> Void) -> Int {
    let index = place - windowStart
    guard !FileHeader.bearsMagic(window, at: index) else {
      if let header = fileHeader(at: index) {
        origin = place
        visit(.header(header))
      }
      return place + 1
    }
    guard index + FrameHeader.size <= window.count,
      let claim = window.withBytes(
        index..<index + FrameHeader.size, { FrameProof.Claim($0, at: place) })
    else { return place + 1 }
    let size = claim.size(in: source)
    guard effort + size <= Self.effortMin + place * Limits.salvageEffortMax else {
      visit(.damaged)
      return place + 1
    }
    let base = FrameIdentity.base(of: claim.seed, at: FilePosition(place - origin))
    switch proof.judge(claim, source) {
    case .batch(let batch, let isHealed):
      visit(.batch(claim.frame, batch, base: base, isHealed: isHealed))
      return claim.frame.bodyRange.upperBound
    case .edits(let edits):
      visit(.edits(edits, base: base))
      return claim.frame.bodyRange.upperBound
    case .unsupported:
      visit(.unsupported)
      return claim.frame.bodyRange.upperBound
    case .damaged:
      visit(.damaged)
      effort += size * Self.healingCost
    case .none:
      effort += size
    }
    return place + 1
  }

  private func fileHeader(at index: Int) -> FileHeader? {
    guard index + FileHeader.size <= window.count else { return nil }
    do throws(FormatError) {
      return try window.withBytes(index..<index + FileHeader.size) { (bytes) throws(FormatError) in
        try FileHeader(decoding: bytes)
      }
    } catch {
      // Of a later version, or not a header.
      return nil
    }
  }
}
