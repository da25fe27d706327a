internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

/// A file's bytes for inspection.
///
/// A place that the disk cannot read counts as zeros and is noted, so that everything around it is
/// still found.
final class InspectedSource {
  let file: any StorageFile
  /// The path inside the store.
  let name: String
  /// The file's length when it was opened; a live writer may have gone on since.
  let size: Int
  /// The first failure to read; a dying disk has too many to keep.
  private(set) var failure: (position: Int, reason: IOFailure)?

  /// Flipped bits that the next writer sets right; they are read as it will write them.
  var repairs: [BitRepair] = []

  private static let retrySize = 4 << 10

  init(_ path: FilePath, name: String, fileSystem: any FileSystem) throws(IOFailure) {
    file = try fileSystem.open(path, .readOnly)
    size = try file.size().bytes
    self.name = name
  }

  /// Appends a range of the file; returns whether all of it was there.
  func append(_ range: Range<Int>, to buffer: inout ByteBuffer) -> Bool {
    guard range.lowerBound >= 0, range.upperBound <= size else { return false }
    let count = buffer.appendUpTo(range.count) { read(at: range.lowerBound, into: &$0) }
    return count == range.count
  }

  func read(at position: Int, into buffer: inout MutableRawSpan) -> Int {
    let count = readStored(at: position, into: &buffer)
    repairs.apply(to: &buffer, at: position)
    return count
  }

  /// Where the next bytes stand that may be other than zero, from a position on.
  func dataStart(from position: Int) -> Int {
    do throws(IOFailure) {
      let data = try file.dataStart(from: FilePosition(position)).bytes
      return repairs.lazy.map(\.position).filter { $0 >= position }.reduce(min(data, size), min)
    } catch {
      // Reading tells what is wrong.
      return position
    }
  }

  private func readStored(at position: Int, into buffer: inout MutableRawSpan) -> Int {
    let wanted = min(buffer.byteCount, max(0, size - position))
    guard wanted > 0 else { return 0 }
    do throws(IOFailure) {
      return min(wanted, try file.read(into: &buffer, at: FilePosition(position)))
    } catch {
      return readAroundFailure(at: position, count: wanted, into: &buffer)
    }
  }

  /// Reads page by page what could not be read at once.
  private func readAroundFailure(
    at position: Int, count: Int, into buffer: inout MutableRawSpan
  ) -> Int {
    var page = ByteBuffer(capacity: Self.retrySize)
    var index = 0
    while index < count {
      let wanted = min(Self.retrySize - (position + index) % Self.retrySize, count - index)
      page.removeAll()
      var found = 0
      do throws(IOFailure) {
        found =
          try page.appendUpTo(wanted) { (span) throws(IOFailure) in
            try file.read(into: &span, at: FilePosition(position + index))
          } ?? 0
      } catch {
        if failure == nil { failure = (position + index, error) }
        page.truncate(to: 0)
      }
      page.appendZeros(wanted - min(found, page.count))
      for place in 0..<wanted {
        buffer.storeBytes(
          of: page.load(at: place, as: UInt8.self), toByteOffset: index + place, as: UInt8.self)
      }
      index += wanted
    }
    return count
  }

  /// What to say about bytes that the disk did not give.
  var damage: Damage? {
    failure.map {
      Damage(
        .unreadable, file: name, position: $0.position,
        detail: "\($0.reason); zeros stand in for what cannot be read")
    }
  }
}

/// The part of a file that one step of a scan sees, so that memory stays bounded however large the
/// file is.
struct SourcePiece: FrameSource {
  let source: InspectedSource
  /// Frames that begin below it are found.
  let size: Int

  func read(at position: Int, into buffer: inout MutableRawSpan) throws(Never) -> Int {
    source.read(at: position, into: &buffer)
  }

  func dataStart(from position: Int) throws(Never) -> Int { source.dataStart(from: position) }
}
