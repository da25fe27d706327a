import EventModel
import FuzzHarness
import LogFormat
import SimulationKit
import StorageIO
import SystemPackage

/// A canonical store whose bytes the input changes, with checksums that hold where it asks for it.
///
/// The first byte of the input chooses the store, the second what ``Mending`` mends of every file
/// that is changed. Changes follow, each a file's number, a position (two bytes) and a count: so
/// many bytes of the input go there. Where the count is 0 the file is cut at the position, at 0 it
/// is gone.
struct MangledStore {
  /// The files before, in the order that the input numbers them in.
  private struct Original {
    let store: CanonicalStore
    let paths: [FilePath]

    init(_ store: CanonicalStore) {
      self.store = store
      paths = store.files.filter { !$0.value.isEmpty }.keys.sorted { $0.string < $1.string }
    }
  }

  private static let originals: [Original] = {
    var originals: [Original] = []
    for variant in 0..<3 {
      for ending in CanonicalStore.Ending.allCases {
        do {
          originals.append(Original(try CanonicalStore(ending, variant: variant)))
        } catch {
          Fuzzing.crash("no store to begin with: \(error)")
        }
      }
    }
    return originals
  }()

  private(set) var store: CanonicalStore
  private(set) var isChanged = false

  init(_ input: [UInt8]) {
    let original = Self.originals[Int(input.first ?? 0) % Self.originals.count]
    store = original.store
    var changed: [FilePath: [UInt8]?] = [:]
    do throws(FormatError) {
      var reader = ByteReader(input.span.bytes, at: min(2, input.count))
      while reader.remaining > 0 {
        let path = original.paths[Int(try reader.integer(UInt8.self)) % original.paths.count]
        let position = Int(try reader.integer(UInt16.self))
        let count = Int(try reader.integer(UInt8.self))
        guard var bytes = changed[path] ?? store.files[path] else { continue }
        if count == 0 {
          changed[path] = .some(position == 0 ? nil : Array(bytes.prefix(position)))
        } else if !bytes.isEmpty {
          for index in 0..<min(count, reader.remaining) {
            bytes[(position + index) % bytes.count] = try reader.integer()
          }
          changed[path] = bytes
        }
      }
    } catch {
      // The input ends in the middle of a change.
    }
    for (path, bytes) in changed {
      replace(path, by: bytes, original.store.files[path] ?? [], control: input.dropFirst().first)
    }
  }

  private mutating func replace(
    _ path: FilePath, by bytes: [UInt8]?, _ before: [UInt8], control: UInt8?
  ) {
    var bytes = bytes
    do throws(FormatError) {
      let known = try FileHeader(decoding: before.span.bytes)
      if var mended = bytes {
        Mending.apply(&mended, control: control ?? 0, known: known)
        bytes = mended
      }
    } catch {
      // A file without a header, the lock.
    }
    isChanged = isChanged || bytes != before
    store = store.replacing(path, by: bytes)
  }

  /// A change of every file, with and without checksums that hold, and some cuts.
  static func seeds() -> [[UInt8]] {
    var seeds: [[UInt8]] = []
    for (number, original) in originals.enumerated() {
      for file in original.paths.indices {
        let size = original.store.files[original.paths[file]]?.count ?? 0
        let (store, place) = (UInt8(number), [UInt8(file), 136 + UInt8(file), 0])
        seeds.append([store, file % 2 == 0 ? 7 : 0] + place + [2, 0x20, 1])
        if file % 4 == 0 {
          let half = UInt16(size / 2)
          seeds.append([store, 0, UInt8(file), UInt8(half & 0xff), UInt8(half >> 8), 0])
        }
      }
    }
    return seeds
  }
}
