import EventModel
import Foundation
import SimulationKit
import SystemPackage
import Testing

/// Which places and bits are damaged where not all of them are: `tools/torture` gives a seed.
enum DamageScope {
  private static let seed =
    ProcessInfo.processInfo.environment["MILLRACE_DAMAGE_SEED"].flatMap(UInt64.init) ?? 0

  /// A sweep's random numbers.
  static func random(_ sweep: UInt64) -> SeededRandom {
    SeededRandom(seed: seed &* 0x1_0001 &+ sweep)
  }

  /// The bit to flip of a byte: with eight seeds in a row it is each of them.
  static func bit(ofByte index: Int) -> Int { (index * 5 + 3 + Int(seed % 8)) % 8 }
}

/// Damages each file of a store in many ways and asks every reader what it makes of it.
struct DamageSweep {
  typealias Damaged = (what: String, bytes: [UInt8])

  let store: CanonicalStore
  let isWide: Bool

  /// - Parameters:
  ///   - store: the store before.
  ///   - isWide: whether more than a bit is damaged at once.
  init(_ store: CanonicalStore, isWide: Bool = false) {
    self.store = store
    self.isWide = isWide
  }

  /// Tries every damage and says how many there were.
  func expectHonest(_ damages: (FilePath, [UInt8]) -> [Damaged]) throws {
    var tally = DamageTally()
    for (path, bytes) in store.files.sorted(by: { $0.key.string < $1.key.string }) {
      for damage in damages(path, bytes) {
        let honesty = Honesty(
          store: store, damaged: store.replacing(path, by: damage.bytes), file: path,
          isWide: isWide)
        let violation: String?
        do {
          violation = try honesty.violation()
        } catch {
          violation = "\(error)"
        }
        tally.note(damage.what, of: path, violation)
      }
    }
    tally.expectNone("damaged stores")
  }
}

/// What damages came to.
struct DamageTally {
  private var count = 0
  /// One fault shows at a thousand bytes: the first of each kind is enough.
  private var violations: [String: String] = [:]

  mutating func note(_ what: String, of path: FilePath, _ violation: String?) {
    count += 1
    guard let violation else { return }
    let key = "\(path.lastComponent?.string ?? ""): \(violation)"
    violations[key] = violations[key] ?? what
  }

  /// Expects that there were some and that none broke a promise.
  func expectNone(_ name: String) {
    let all = violations.map { "\($0.value) of \($0.key)" }.sorted()
    #expect(all.isEmpty, "of \(count) \(name):\n\(all.prefix(20).joined(separator: "\n"))")
    #expect(count > 0)
    // For tools/torture, which adds up such lines; flushed, for others must not cut them.
    print("counted: \(count) \(name)")
    fflush(nil)
  }
}

/// Every byte of every file of a small store, as each kind of writer leaves it.
@Suite("Damage in every place of a store that the engine wrote")
struct SweepTests {
  /// Every place in a release build; without optimisation a sample of them is slow enough.
  #if DEBUG
    private static let step = 61
  #else
    private static let step = 1
  #endif

  @Test(
    "A store that nothing happened to is what was written",
    arguments: CanonicalStore.Ending.allCases)
  func untouched(_ ending: CanonicalStore.Ending) throws {
    try DamageSweep(try CanonicalStore(ending)).expectHonest { [("nothing", $1)] }
  }

  @Test(
    "A flipped bit anywhere is healed, told or without effect",
    arguments: CanonicalStore.Ending.allCases)
  func flips(_ ending: CanonicalStore.Ending) throws {
    try DamageSweep(try CanonicalStore(ending)).expectHonest { _, bytes in
      stride(from: 0, to: bytes.count, by: Self.step).map { index in
        var damaged = bytes
        damaged[index] ^= 1 << UInt8(DamageScope.bit(ofByte: index))
        return ("byte \(index)", damaged)
      }
    }
  }

  @Test(
    "A file cut at any length loses nothing unsaid that anything testifies to",
    arguments: CanonicalStore.Ending.allCases)
  func cuts(_ ending: CanonicalStore.Ending) throws {
    try DamageSweep(try CanonicalStore(ending), isWide: true).expectHonest { _, bytes in
      stride(from: 0, to: bytes.count, by: Self.step).map { ("cut to \($0)", Array(bytes[..<$0])) }
    }
  }

  /// The sweeps themselves: where bytes are changed and every checksum is right again, they must
  /// notice.
  @Test("A segment with other events whose checksums hold is noticed")
  func notBlind() throws {
    let store = try CanonicalStore(.closed)
    let other = try CanonicalStore(.closed, saying: "rubbish")
    let changed = other.files.filter {
      $0.key.extension == "segment" && $0.value != store.files[$0.key]
    }
    #expect(changed.count > 2)
    for (path, bytes) in changed {
      let honesty = Honesty(
        store: store, damaged: store.replacing(path, by: bytes), file: path, isWide: true)
      #expect(try honesty.violation()?.contains("was never appended") == true, "\(path)")
    }
  }
}
