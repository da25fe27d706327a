import EventModel
import LogInspection
import SimulationKit
import SystemPackage
import Testing

/// Damage in the journal, in queue files and their directory, in feedback, dead letters and the
/// manifest: a sample of every family, by a seed.
@Suite("Damage in the files of device queues")
struct QueueSweepTests {
  private typealias Damaged = DamageSweep.Damaged

  /// Of each family in each file.
  #if DEBUG
    private static let countMax = 4
  #else
    private static let countMax = 40
  #endif
  private static let sector = 512
  /// How many stores are looked at side by side: they wait for their threads most of the time.
  private static let inFlightMax = 8

  /// Tries some damages, by a seed, of every file that the queues go by.
  private func expectHonest(
    _ store: QueueStore, seed: UInt64, isWide: Bool,
    _ damage: (FilePath, [UInt8], inout SeededRandom) -> Damaged?
  ) async throws {
    var random = DamageScope.random(seed)
    try await expectHonest(store, isWide: isWide, counting: "damaged stores with queues") {
      path, bytes -> [Damaged] in
      (0..<Self.countMax).compactMap { _ in damage(path, bytes, &random) }
        .filter { $0.bytes != bytes }
    }
  }

  /// Tries damages of every file that the queues go by.
  private func expectHonest(
    _ store: QueueStore, isWide: Bool, counting name: String, asking witnesses: Witnesses = .all,
    _ damages: (FilePath, [UInt8]) -> some Sequence<Damaged>
  ) async throws {
    var tally = DamageTally()
    let files = store.queueFiles
    let kinds = Set(files.keys.compactMap(\.extension))
    #expect(kinds.isSuperset(of: ["journal", "queue", "directory", "segment"]))
    for (path, bytes) in files.sorted(by: { $0.key.string < $1.key.string }) {
      await withTaskGroup(of: (what: String, violation: String?).self) { group in
        var inFlight = 0
        for damage in damages(path, bytes) {
          if inFlight == Self.inFlightMax, let tried = await group.next() {
            tally.note(tried.what, of: path, tried.violation)
            inFlight -= 1
          }
          let honesty = QueueHonesty(
            store: store, damaged: store.replacing(path, by: damage.bytes), file: path,
            isWide: isWide, witnesses: witnesses)
          group.addTask { (damage.what, await honesty.violationOrError()) }
          inFlight += 1
        }
        for await tried in group { tally.note(tried.what, of: path, tried.violation) }
      }
    }
    tally.expectNone(name)
  }

  @Test(
    "A store that nothing happened to is what was written",
    arguments: QueueStore.Ending.allCases)
  func untouched(_ ending: QueueStore.Ending) async throws {
    let store = try await QueueStore(ending)
    let honesty = QueueHonesty(
      store: store, damaged: store, file: QueueStore.root.appending("nothing"), isWide: false)
    #expect(try await honesty.violation() == nil)
    #expect(try Fsck.check(QueueStore.root, fileSystem: store.fileSystem).clean)
    #expect(store.contents.waiting.count == 5 && store.contents.letters.count >= 6)
  }

  @Test(
    "A flipped bit is healed, told or without effect", arguments: QueueStore.Ending.allCases)
  func flips(_ ending: QueueStore.Ending) async throws {
    let store = try await QueueStore(ending)
    guard !DamageScope.isWhole else {
      try await expectHonest(store, isWide: false, counting: "flipped bits") { _, bytes in
        DamageScope.flips(of: bytes)
      }
      guard DamageScope.otherBitCount > 0 else { return }
      try await expectHonest(store, isWide: false, counting: "flipped bits", asking: .readers) {
        _, bytes in
        DamageScope.otherFlips(of: bytes)
      }
      return
    }
    try await expectHonest(store, seed: 11, isWide: false) {
      _, bytes, random in
      var damaged = bytes
      let (index, bit) = (random.below(bytes.count), random.below(8))
      damaged[index] ^= 1 << UInt8(bit)
      return ("bit \(bit) of byte \(index)", damaged)
    }
  }

  @Test(
    "A file cut at any length loses nothing unsaid that anything testifies to",
    arguments: QueueStore.Ending.allCases)
  func cuts(_ ending: QueueStore.Ending) async throws {
    try await expectHonest(try await QueueStore(ending), seed: 12, isWide: true) {
      _, bytes, random in
      let size = random.below(bytes.count)
      return ("cut to \(size)", Array(bytes[..<size]))
    }
  }

  @Test(
    "A sector that is zero, another one or there twice shows nothing that was not written",
    arguments: QueueStore.Ending.allCases)
  func sectors(_ ending: QueueStore.Ending) async throws {
    try await expectHonest(try await QueueStore(ending), seed: 13, isWide: true) {
      _, bytes, random in
      func sector() -> Range<Int> {
        let start = random.below((bytes.count - 1) / Self.sector + 1) * Self.sector
        return start..<min(start + Self.sector, bytes.count)
      }
      let (place, other) = (sector(), sector())
      var damaged = bytes
      switch random.below(3) {
      case 0:
        for index in place { damaged[index] = 0 }
        return ("sector \(place.lowerBound) zeroed", damaged)
      case 1:
        damaged.replaceSubrange(place, with: bytes[other])
        return ("sector \(other.lowerBound) also at \(place.lowerBound)", damaged)
      default:
        guard place.count == other.count else { return nil }
        damaged.replaceSubrange(place, with: bytes[other])
        damaged.replaceSubrange(other, with: bytes[place])
        return ("sectors \(place.lowerBound) and \(other.lowerBound) swapped", damaged)
      }
    }
  }

  @Test(
    "A frame of another file, or of another place, is never taken for one of this place",
    arguments: QueueStore.Ending.allCases)
  func splices(_ ending: QueueStore.Ending) async throws {
    let store = try await QueueStore(ending)
    var frames: [[UInt8]] = []
    var places: [FilePath: [Int]] = [:]
    try StoreInspector(QueueStore.root, fileSystem: store.fileSystem).walk { item in
      guard case .frame(let frame) = item else { return .goOn }
      let path = QueueStore.root.appending(frame.file)
      frames.append(Array((store.files[path] ?? [])[frame.position..<frame.frame.end]))
      places[path, default: []].append(frame.position)
      return .goOn
    }
    try await expectHonest(store, seed: 14, isWide: true) { path, bytes, random in
      guard let place = places[path]?.randomElement(using: &random) else { return nil }
      let number = random.below(frames.count)
      var damaged = bytes
      let end = min(place + frames[number].count, bytes.count)
      damaged.replaceSubrange(place..<end, with: frames[number][..<(end - place)])
      return ("frame \(number) at \(place)", damaged)
    }
  }

  /// The file of one device stands where that of another should.
  @Test("A queue file under the name of another is nobody's")
  func exchanged() async throws {
    let store = try await QueueStore(.closed)
    let paths = store.files.keys.filter { $0.extension == "queue" }
    try #require(paths.count == QueueStore.filed.count)
    for path in paths {
      for other in paths where other != path {
        let honesty = QueueHonesty(
          store: store, damaged: store.replacing(path, by: store.files[other]),
          file: path, isWide: true)
        #expect(try await honesty.violation() == nil, "\(other) as \(path)")
      }
    }
  }
}
