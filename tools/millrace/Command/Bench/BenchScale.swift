/// How much is measured.
struct BenchScale: Sendable {
  let eventCount: Int
  /// Everything is measured so often; medians are printed.
  let runCount: Int
  /// Operations that wait for the disk one by one.
  let singleCount: Int
  let seekCount: Int
  /// Bytes of the file that is written at once.
  let writtenSize: Int

  /// About half a minute.
  static let whole = Self(
    eventCount: 1_000_000, runCount: 3, singleCount: 1_000, seekCount: 5_000,
    writtenSize: 256 << 20)
  /// A few seconds.
  static let quick = Self(
    eventCount: 100_000, runCount: 1, singleCount: 100, seekCount: 200, writtenSize: 32 << 20)
}

enum BenchClock {
  /// Seconds that something takes.
  static func seconds(_ body: () throws -> Void) rethrows -> Double {
    let start = ContinuousClock.now
    try body()
    return max(1e-9, (ContinuousClock.now - start) / .seconds(1))
  }
}
