import QueueSimulation
import SimulationKit
import Testing

/// Random sequences of everything that may happen to device queues, against a plain model of them.
@Suite("Device queues against a model")
struct QueueModelTests {
  /// Seeds of each case; together the cases run at least 200,000 operations.
  private static let seedCount = 52
  private static let caseCount = 4
  /// Other seeds in every run; the first case has the same ones each time.
  private static let firstSeed = UInt64.random(in: 1_000...1 << 40)

  @Test("Whatever happens, the queues are what the model says", arguments: 0..<caseCount)
  func everything(_ number: Int) async throws {
    let first = number == 0 ? 1 : Self.firstSeed + UInt64(number * Self.seedCount)
    let seeds = first..<first + UInt64(Self.seedCount)
    print("queue seeds \(seeds.lowerBound) to \(seeds.upperBound - 1)")
    var coverage = QueueCoverage()
    for seed in seeds { coverage.add(try await QueueCampaign().run(seed: seed)) }
    print("queue seeds \(seeds.lowerBound) to \(seeds.upperBound - 1): \(coverage)")
    #expect(coverage.operationCount * Self.caseCount >= 200_000)
    if number == 0 { #expect(coverage.missing == []) }
  }
}

@Suite("The model-based test of the queues itself")
struct QueueCampaignTests {
  private func failure(of campaign: QueueCampaign) async throws -> QueueCampaign.Failure {
    try await #require(throws: QueueCampaign.Failure.self) {
      for seed in 1...3 as ClosedRange<UInt64> { _ = try await campaign.run(seed: seed) }
    }
  }

  @Test(
    "A disk that swallows syncs is noticed", arguments: [LyingFileSystem.Lie.files, .segments])
  func lies(_ lie: LyingFileSystem.Lie) async throws {
    var campaign = QueueCampaign()
    campaign.wrapping = { LyingFileSystem($0, lie) }
    let failure = try await failure(of: campaign)
    #expect(failure.operations.count <= 20, "\(failure)")
    print("syncs of \(lie) swallowed: shrunk to \(failure.operations.count) operations")
    #expect(failure.description.contains("torture --queue-seed \(failure.seed)"))
  }

  @Test(
    "A store that forgets a completion, or delivers out of order, is noticed",
    arguments: QueueCampaign.Sabotage.allCases)
  func sabotage(_ sabotage: QueueCampaign.Sabotage) async throws {
    var campaign = QueueCampaign()
    campaign.sabotage = sabotage
    let failure = try await failure(of: campaign)
    #expect(failure.operations.count <= 40, "\(failure)")
    print("\(sabotage): shrunk to \(failure.operations.count) operations")
  }
}
