package import EventModel
package import LogFormat
package import StorageIO
internal import Synchronization

/// What an open store knows about the footer of one segment: whether it was checked, and whether
/// there is one at all.
package final class FooterKnowledge: Sendable {
  private enum State {
    case unknown
    /// There is none to be believed; one may have been tried to make.
    case absent(wasTried: Bool)
    /// The contents have this checksum, and it held.
    case verified(UInt32)
  }

  private let state = Mutex(State.unknown)

  package var isAbsent: Bool {
    state.withLock { if case .absent = $0 { true } else { false } }
  }

  package func noteAbsent() { state.withLock { $0 = .absent(wasTried: false) } }

  /// Whether making it failed before.
  package var wasTried: Bool {
    state.withLock { if case .absent(wasTried: true) = $0 { true } else { false } }
  }

  package func noteTried() { state.withLock { $0 = .absent(wasTried: true) } }

  package func forgetTry() {
    state.withLock { if case .absent = $0 { $0 = .absent(wasTried: false) } }
  }

  /// A footer was written since.
  package func noteWritten() { state.withLock { $0 = .unknown } }

  package func noteVerified(_ checksum: UInt32) { state.withLock { $0 = .verified(checksum) } }

  package func isVerified(_ checksum: UInt32) -> Bool {
    state.withLock { if case .verified(let known) = $0 { known == checksum } else { false } }
  }
}

/// The footer of a sealed segment, used where it lies in its map (format-spec §10.2).
///
/// Checked whole when it is first used, entry by entry afterwards. Every question answers nil when
/// a page has vanished or an entry makes no sense: the caller then reads the segment itself (I6).
package final class FooterView: Sendable {
  package let segmentID: UInt64
  package let footer: SegmentFooter
  private let mapping: FileMapping

  private init(_ segmentID: UInt64, _ footer: SegmentFooter, _ mapping: FileMapping) {
    self.segmentID = segmentID
    self.footer = footer
    self.mapping = mapping
  }

  /// Opens the footer of a sealed segment; notes its absence where there is none to be believed.
  package static func open(_ segment: SegmentHandle, fileSystem: any FileSystem) -> FooterView? {
    guard let summary = segment.summary else { return nil }
    do {
      let view = try read(segment, fileSystem: fileSystem)
      guard view.footer.endPosition == summary.endPosition, view.footer.chain == summary.chain,
        view.footer.nextNumber == summary.nextNumber
      else {
        segment.footer.noteAbsent()
        return nil
      }
      let checksum = view.footer.contentsChecksum
      if !segment.footer.isVerified(checksum) {
        guard try view.contentsHold(segment.identity) else {
          segment.footer.noteAbsent()
          return nil
        }
        segment.footer.noteVerified(checksum)
      }
      return view
    } catch {
      // Missing, unreadable or damaged: it is made again, and the log is read meanwhile.
      segment.footer.noteAbsent()
      return nil
    }
  }

  private static func read(
    _ segment: SegmentHandle, fileSystem: any FileSystem
  ) throws -> FooterView {
    let file = try fileSystem.open(segment.footerPath, .readOnly)
    let size = try file.size()
    let mapping = try file.map(size)
    let header = try bytes(of: mapping, 0..<FileHeader.size)
    let decoded = try header.withBytes { (bytes) throws(FormatError) in
      try FileHeader(decoding: bytes)
    }
    guard decoded.kind == .footer, decoded.identity == segment.identity else {
      throw FormatError.corrupt("the footer is of another segment")
    }
    let start = SegmentFooter.position.bytes
    let fixed = try bytes(of: mapping, start..<start + SegmentFooter.size)
    let footer = try fixed.withBytes { (bytes) throws(FormatError) in
      try SegmentFooter(decoding: bytes, identity: segment.identity, fileSize: size.bytes)
    }
    return FooterView(segment.added.segmentID, footer, mapping)
  }

  private static func bytes(
    of mapping: FileMapping, _ range: Range<Int>
  ) throws(IOFailure) -> ByteBuffer {
    var buffer = ByteBuffer(unalignedCapacity: range.count)
    guard range.upperBound <= mapping.size.bytes else { return buffer }
    _ = try buffer.appendUpTo(range.count) { (room) throws(IOFailure) in
      try mapping.copy(into: &room, from: FilePosition(range.lowerBound))
      return range.count
    }
    return buffer
  }

  private func contentsHold(_ identity: FrameIdentity) throws(IOFailure) -> Bool {
    var checksum = SegmentFooter.contentsSeed(identity)
    var position = footer.batchesPosition
    var buffer = ByteBuffer(capacity: 64 << 10)
    while position < footer.fileSize {
      let count = min(64 << 10, footer.fileSize - position)
      let seed = checksum
      let start = FilePosition(position)
      buffer.removeAll()
      _ = try buffer.appendUpTo(count) { (room) throws(IOFailure) in
        checksum = try mapping.copy(into: &room, from: start, seed: seed)
        return count
      }
      position += count
    }
    return checksum == footer.contentsChecksum
  }

  /// Whether looking for a batch waits for no disk.
  var isResident: Bool { mapping.isResident(0..<footer.devicesPosition) }

  private func entry<Entry>(
    at position: Int, size: Int, _ decode: (RawSpan) throws(FormatError) -> Entry
  ) -> Entry? {
    do {
      let buffer = try Self.bytes(of: mapping, position..<position + size)
      return try buffer.withBytes(decode)
    } catch {
      return nil
    }
  }

  // MARK: Batches

  package var batchCount: Int { footer.batchCount }

  package func batch(at place: Int) -> FooterBatch? {
    precondition(place >= 0 && place < footer.batchCount, "batch \(place) of \(footer.batchCount)")
    return entry(
      at: footer.batchesPosition + place * FooterBatch.size, size: FooterBatch.size
    ) { (bytes) throws(FormatError) in try FooterBatch(decoding: bytes) }
  }

  /// The place of the first batch that `matches`; the number of batches if none does.
  ///
  /// Batches that match stand behind all that do not.
  package func firstBatch(where matches: (FooterBatch) -> Bool) -> Int? {
    var low = 0
    var high = footer.batchCount
    while low < high {
      let middle = (low + high) / 2
      guard let batch = batch(at: middle) else { return nil }
      if matches(batch) { high = middle } else { low = middle + 1 }
    }
    return low
  }

  // MARK: Devices

  package func device(_ id: DeviceID) -> FooterDevice?? {
    var low = 0
    var high = footer.deviceCount
    var key = ByteBuffer(capacity: Limits.identifierSizeMax)
    key.append(id.description)
    while low < high {
      let middle = (low + high) / 2
      guard let device = device(at: middle), let order = order(of: key, device) else { return nil }
      if order == 0 { return .some(device) }
      if order < 0 { high = middle } else { low = middle + 1 }
    }
    return .some(nil)
  }

  /// The places of the batches that hold events of some devices, ascending, from the one on that
  /// holds a number; nil where they have to be looked for in the segment.
  package func selection(of filter: DeviceFilter, from number: UInt64) -> ArraySlice<Int>? {
    guard !footer.hasHoles, let first = firstBatch(where: { $0.nextNumber > number }) else {
      return nil
    }
    var places: Set<Int> = []
    for id in filter.devices {
      guard let known = device(id) else { return nil }
      guard let known else { continue }
      guard let postings = postings(of: known) else { return nil }
      places.formUnion(postings.drop { $0 < first })
    }
    return places.sorted()[...]
  }

  private func device(at place: Int) -> FooterDevice? {
    entry(
      at: footer.devicesPosition + place * FooterDevice.size, size: FooterDevice.size
    ) { (bytes) throws(FormatError) in try FooterDevice(decoding: bytes) }
  }

  /// Whether an id stands before a device's, is it, or stands behind it.
  private func order(of key: borrowing ByteBuffer, _ device: FooterDevice) -> Int? {
    let start = Int(device.idPosition)
    guard start + Int(device.idSize) <= footer.idsSize else { return nil }
    let position = footer.idsPosition + start
    do throws(IOFailure) {
      let id = try Self.bytes(of: mapping, position..<position + Int(device.idSize))
      return key.withBytes { key in
        id.withBytes { id in key.precedes(id) ? -1 : id.precedes(key) ? 1 : 0 }
      }
    } catch {
      return nil
    }
  }

  /// The places of the batches that hold events of a device, ascending.
  package func postings(of device: FooterDevice) -> [Int]? {
    let first = Int(device.firstPosting)
    let count = Int(device.postingCount)
    guard first + count <= footer.postingCount else { return nil }
    let width = footer.postingWidth
    let position = footer.postingsPosition + first * width
    let limit = footer.batchCount
    let places = entry(at: position, size: count * width) {
      (bytes) throws(FormatError) -> [Int] in
      var reader = ByteReader(bytes)
      var places: [Int] = []
      places.reserveCapacity(count)
      for _ in 0..<count {
        places.append(
          width == 2
            ? Int(try reader.integer(UInt16.self)) : Int(try reader.integer(UInt32.self)))
      }
      return places
    }
    guard let places, places.allSatisfy({ $0 < limit }) else { return nil }
    return places
  }
}
