internal import EventModel

/// Space taken behind the end of a file that has to grow on a full disk too (I9): what makes room
/// again is an entry in the manifest first.
package struct SpaceReserve {
  /// Room for hundreds of small frames.
  private static let size = 64 << 10

  /// How far space is taken.
  private var end = 0

  package init() {}

  /// Takes all of it anew once half is used up, if there is room: it is a provision, and without it
  /// the write that meets the full disk says so.
  ///
  /// It stays with the file when that is closed, and goes when it is truncated.
  package mutating func keep(behind position: Int, of file: any StorageFile) {
    guard position + Self.size / 2 > end else { return }
    do throws(IOFailure) {
      try file.reserve(ByteCount(position + Self.size))
      end = position + Self.size
    } catch {
      return
    }
  }
}
