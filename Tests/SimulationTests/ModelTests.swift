import SimulationKit
import Testing

/// Random sequences of everything the engine does, against a plain model of it.
@Suite("The engine against a model")
struct ModelTests {
  /// Seeds of each case; together the cases run at least 200,000 operations.
  private static let seedCount = 13
  private static let caseCount = 8
  /// Other seeds in every run; the first case has the same ones each time.
  private static let firstSeed = UInt64.random(in: 1_000...1 << 40)

  @Test("Whatever happens, the engine is what the model says", arguments: 0..<caseCount)
  func everything(_ number: Int) throws {
    let first = number == 0 ? 1 : Self.firstSeed + UInt64(number * Self.seedCount)
    let seeds = first..<first + UInt64(Self.seedCount)
    print("model seeds \(seeds.lowerBound) to \(seeds.upperBound - 1)")
    var coverage = ModelCoverage()
    for seed in seeds { coverage.add(try ModelCampaign().run(seed: seed)) }
    print("model seeds \(seeds.lowerBound) to \(seeds.upperBound - 1): \(coverage)")
    #expect(coverage.operationCount * Self.caseCount >= 200_000)
    if number == 0 { #expect(coverage.missing == []) }
  }
}

@Suite("The model-based test itself")
struct ModelCampaignTests {
  @Test(
    "A disk that swallows syncs is noticed, and few operations show it",
    arguments: LyingFileSystem.Lie.allCases)
  func notBlind(_ lie: LyingFileSystem.Lie) throws {
    var campaign = ModelCampaign()
    campaign.wrapping = { LyingFileSystem($0, lie) }
    let failure = try #require(throws: ModelCampaign.Failure.self) {
      for seed in 1...3 as ClosedRange<UInt64> { _ = try campaign.run(seed: seed) }
    }
    #expect(failure.operations.count <= 6, "\(failure)")
    print("syncs of \(lie) swallowed: shrunk to \(failure.operations.count) operations")
    #expect(failure.description.contains("torture --model-seed \(failure.seed)"))
  }

  @Test("A seed determines everything")
  func repeatable() throws {
    let campaign = ModelCampaign()
    #expect(try campaign.run(seed: 7) == campaign.run(seed: 7))
    #expect(
      ModelOperation.sequence(seed: 7, count: 100) == ModelOperation.sequence(seed: 7, count: 100))
  }
}
