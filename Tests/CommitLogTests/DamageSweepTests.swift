import CommitLog
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// Any byte of a small store flipped, any file cut at any length: never a crash, never a wrong
/// event, and nothing goes missing in silence (I4, I11).
@Suite struct DamageSweepTests {
  /// Three acknowledged events, closed cleanly or not.
  private static func small(isClosed: Bool) throws -> StoreImage {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem)
    let store = try TestStore.open(on: fileSystem)
    for serial in 0..<3 as Range<UInt64> { try store.append([serial]) }
    if isClosed { try store.log.close() }
    return StoreImage(fileSystem).withoutLock
  }

  /// Opens and reads; every event is there, in a gap, or reported as cut.
  ///
  /// A file that was not closed may have been cut without a trace: nothing but its length tells.
  private func check(
    _ image: StoreImage, provenCount: UInt64, _ path: FilePath, _ place: Comment
  ) {
    do throws(CommitLogFailure) {
      let store = try TestStore.open(on: image.memory(), seed: 3)
      let contents = try store.read()
      #expect(contents.wrong == nil && contents.serials == contents.serials.sorted(), place)
      var known = Set(contents.serials)
      for gap in contents.gaps { known.formUnion(gap.first.value..<gap.next.value) }
      #expect(known.isSuperset(of: 0..<provenCount) && known.isSubset(of: 0..<3), place)
    } catch {
      guard case .format(let named, _, _) = error else {
        if case .missingFile = error { return }
        Issue.record("\(error): \(place)")
        return
      }
      #expect(named == path, place)
    }
  }

  @Test("Every byte flipped", arguments: [(true, 1), (false, 5)])
  func everyByte(_ isClosed: Bool, _ step: Int) throws {
    let original = try Self.small(isClosed: isClosed)
    for (path, bytes) in original.files {
      for position in stride(from: 0, to: bytes.count, by: step) {
        var image = original
        image.files[path]?[position] ^= 0x41
        // Nothing but the last batch's own frame proves it, unless a close does.
        check(image, provenCount: isClosed ? 3 : 2, path, "\(path) flipped at \(position)")
      }
    }
  }

  @Test("Any length cut", arguments: [false, true])
  func everyLength(_ isClosed: Bool) throws {
    let original = try Self.small(isClosed: isClosed)
    for (path, bytes) in original.files {
      // Frames begin at multiples of 64: each place in one is met at some frame.
      for size in stride(from: 0, to: bytes.count, by: 5) {
        var image = original
        image.files[path] = Array(bytes[..<size])
        check(image, provenCount: isClosed ? 3 : 0, path, "\(path) cut to \(size)")
      }
    }
  }
}
