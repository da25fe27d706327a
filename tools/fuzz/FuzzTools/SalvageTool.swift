import EventModel
import FuzzHarness
import LogFormat
import LogInspection
import SimulationKit
import StorageIO
import SystemPackage

/// `salvage` of a file made of any bytes: nothing traps, and what it gives are the events of whole
/// frames, all of them, and the same again when it is asked again.
///
/// The first byte of the input says what ``Mending`` mends.
enum SalvageTool {
  private static let path: FilePath = "/image"

  static let target = FuzzTarget("salvage", seeds: seeds) { input in
    var bytes = Array(input.dropFirst())
    Mending.apply(&bytes, control: input.first ?? 0)
    let fileSystem = MemoryFileSystem(files: [path: bytes])
    let before = fileSystem.copy()
    do throws(InspectionFailure) {
      let events = try examine(fileSystem, bytes)
      let again = try examine(fileSystem, bytes)
      precondition(again == events, "another search finds other events")
      if events.count > 2 { Fuzzing.landmark() }
    } catch {
      preconditionFailure("a file that is there is not searched: \(error)")
    }
    precondition(fileSystem.isSame(as: before), "salvage has written")
  }

  private static func examine(
    _ fileSystem: MemoryFileSystem, _ bytes: [UInt8]
  ) throws(InspectionFailure) -> [Event] {
    let salvage = try Salvage(path, fileSystem: fileSystem)
    var events: [Event] = []
    let reading = salvage.forEachEvent { events.append($0) }
    precondition(reading.events == events.count, "\(reading.events) events were given, it is said")
    precondition(reading.changed == 0, "\(reading.changed) frames were whole only once")
    let found = reading.events + reading.duplicates
    precondition(found >= salvage.counts.frames, "a frame without an event")
    precondition(found <= claimed(bytes), "events that no frame claims to hold")
    for event in events {
      precondition(event.deviceID.description.utf8.count > 0, "an event without a device")
    }
    return events
  }

  /// The records that all bytes together claim to hold which may be the header of a frame.
  private static func claimed(_ bytes: [UInt8]) -> Int {
    var count = 0
    for position in bytes.indices where FrameHeader.bearsMagic(bytes.span.bytes, at: position) {
      count += (0..<4).reduce(0) { $0 | Int(bytes[position + 12 + $1]) << ($1 * 8) }
    }
    return count
  }

  /// Segments of every codec, whole, without their headers, and torn.
  private static func seeds() throws -> [[UInt8]] {
    var seeds: [[UInt8]] = []
    for variant in 1...3 {
      let store = try CanonicalStore(.killed, variant: variant)
      for (path, bytes) in store.files.sorted(by: { $0.key.string < $1.key.string })
      where path.extension == "segment" {
        seeds += [[0] + bytes, [7] + bytes, [0] + bytes.dropFirst(FileHeader.size)]
        seeds.append([6] + bytes.prefix(bytes.count * 2 / 3))
      }
    }
    return seeds
  }
}
