import EventModel
import Foundation
import SimulationKit
import SystemPackage
import Testing

/// How much is damaged: `tools/torture` asks for more than the tests do, and gives a seed.
enum DamageScope {
  private static let environment = ProcessInfo.processInfo.environment
  private static let seed = environment["MILLRACE_DAMAGE_SEED"].flatMap(UInt64.init) ?? 0
  /// How many bits of every byte are flipped, of many stores; nil for one, of a few.
  private static let bitCount = environment["MILLRACE_DAMAGE_BITS"].flatMap { Int($0) }

  /// Whether many stores are damaged.
  static let isWhole = bitCount != nil

  /// The canonical stores in which bits are flipped: for each ending as many.
  static let variants = 0..<(isWhole ? 8 : 1)

  /// A sweep's random numbers.
  static func random(_ sweep: UInt64) -> SeededRandom {
    SeededRandom(seed: seed &* 0x1_0001 &+ sweep)
  }

  /// The command that repeats what a test does with these random numbers.
  static func replay(_ filter: String) -> String {
    "replay: MILLRACE_DAMAGE_SEED=\(seed) swift test -c release --filter '\(filter)'"
  }

  /// The bit to flip of a byte where it is one: with eight seeds in a row it is each of them.
  static func bit(ofByte index: Int) -> Int { (index * 5 + 3 + Int(seed % 8)) % 8 }

  /// How many more bits of each byte are flipped, of which only readers are asked.
  static let otherBitCount = min(bitCount ?? 1, 8) - 1

  /// A file's bytes with that bit of a byte flipped, byte by byte.
  static func flips(of bytes: [UInt8], step: Int = 1) -> some Sequence<DamageSweep.Damaged> {
    stride(from: 0, to: bytes.count, by: step).lazy.map { flip(0, ofByte: $0, in: bytes) }
  }

  /// The same for the other bits.
  static func otherFlips(of bytes: [UInt8]) -> some Sequence<DamageSweep.Damaged> {
    bytes.indices.lazy.flatMap { index in
      (0..<otherBitCount).lazy.map { flip($0 + 1, ofByte: index, in: bytes) }
    }
  }

  private static func flip(
    _ number: Int, ofByte index: Int, in bytes: [UInt8]
  ) -> DamageSweep.Damaged {
    let bit = (bit(ofByte: index) + number) % 8
    var damaged = bytes
    damaged[index] ^= 1 << UInt8(bit)
    return (what: "bit \(bit) of byte \(index)", bytes: damaged)
  }
}

/// Who is asked what they make of damage.
enum Witnesses {
  case all
  /// Readers and `fsck`: whoever would show what is wrong as if it were right.
  case readers
}

/// Damages each file of a store in many ways and asks every reader what it makes of it.
struct DamageSweep {
  typealias Damaged = (what: String, bytes: [UInt8])

  let store: CanonicalStore
  let isWide: Bool
  let witnesses: Witnesses

  /// - Parameters:
  ///   - store: the store before.
  ///   - isWide: whether more than a bit is damaged at once.
  ///   - witnesses: who is asked.
  init(_ store: CanonicalStore, isWide: Bool = false, asking witnesses: Witnesses = .all) {
    self.store = store
    self.isWide = isWide
    self.witnesses = witnesses
  }

  /// Tries every damage and says how many there were.
  func expectHonest(
    counting name: String = "damaged stores",
    _ damages: (FilePath, [UInt8]) -> some Sequence<Damaged>
  ) throws {
    var tally = DamageTally()
    for (path, bytes) in store.files.sorted(by: { $0.key.string < $1.key.string }) {
      for damage in damages(path, bytes) {
        let honesty = Honesty(
          store: store, damaged: store.replacing(path, by: damage.bytes), file: path,
          isWide: isWide, witnesses: witnesses)
        let violation: String?
        do {
          violation = try honesty.violation()
        } catch {
          violation = "\(error)"
        }
        tally.note(damage.what, of: path, violation)
      }
    }
    tally.expectNone(name)
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
    arguments: DamageScope.variants, CanonicalStore.Ending.allCases)
  func untouched(_ variant: Int, _ ending: CanonicalStore.Ending) throws {
    try DamageSweep(try CanonicalStore(ending, variant: variant)).expectHonest {
      [(what: "nothing", bytes: $1)]
    }
  }

  @Test(
    "A flipped bit anywhere is healed, told or without effect",
    arguments: DamageScope.variants, CanonicalStore.Ending.allCases)
  func flips(_ variant: Int, _ ending: CanonicalStore.Ending) throws {
    let store = try CanonicalStore(ending, variant: variant)
    try DamageSweep(store).expectHonest(counting: "flipped bits") { _, bytes in
      DamageScope.flips(of: bytes, step: Self.step)
    }
    guard DamageScope.otherBitCount > 0 else { return }
    try DamageSweep(store, asking: .readers).expectHonest(counting: "flipped bits") { _, bytes in
      DamageScope.otherFlips(of: bytes)
    }
  }

  @Test(
    "A file cut at any length loses nothing unsaid that anything testifies to",
    arguments: CanonicalStore.Ending.allCases)
  func cuts(_ ending: CanonicalStore.Ending) throws {
    try DamageSweep(try CanonicalStore(ending), isWide: true).expectHonest { _, bytes in
      stride(from: 0, to: bytes.count, by: Self.step).map {
        (what: "cut to \($0)", bytes: Array(bytes[..<$0]))
      }
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
