import SimulationKit
import Synchronization
import Testing

@Suite("Crashes")
struct CrashCampaignTests {
  /// Distinct states that the default run tries, at least.
  private static let stateCount = 20_000

  @Test("Nothing acknowledged is lost by a crash at any operation, also inside recovery")
  func everyOperation() async throws {
    let progress = Progress()
    let states = try await withThrowingTaskGroup(of: Set<UInt64>.self) { group in
      for _ in 0..<2 {
        group.addTask {
          var campaign = CrashCampaign()
          while progress.stateCount < Self.stateCount + 5_000 {
            let before = campaign.states.count
            try campaign.run(seed: progress.nextSeed())
            progress.add(campaign.states.count - before)
          }
          return campaign.states
        }
      }
      return try await group.reduce(into: Set<UInt64>()) { $0.formUnion($1) }
    }
    #expect(states.count >= Self.stateCount)
    print("distinct crash states: \(states.count)")
  }
}

/// What the workers of a campaign share.
private final class Progress: Sendable {
  private let state = Mutex((seed: UInt64(0), count: 0))

  var stateCount: Int { state.withLock { $0.count } }

  func nextSeed() -> UInt64 {
    state.withLock { state in
      state.seed += 1
      return state.seed
    }
  }

  func add(_ count: Int) { state.withLock { $0.count += count } }
}

@Suite("The campaign itself")
struct CampaignTests {
  @Test("A disk that swallows syncs is noticed", arguments: LyingFileSystem.Lie.allCases)
  func notBlind(_ lie: LyingFileSystem.Lie) {
    var campaign = CrashCampaign()
    campaign.wrapping = { LyingFileSystem($0, lie) }
    #expect(throws: CrashCampaign.Failure.self) {
      for seed in 1...3 as ClosedRange<UInt64> { try campaign.run(seed: seed) }
    }
  }

  @Test(
    "A disk that swallows syncs is noticed where calls fail",
    arguments: [
      LyingFileSystem.Lie.files, .directories, .segments,
    ])
  func notBlindToFaults(_ lie: LyingFileSystem.Lie) {
    #expect(throws: FaultCampaign.Failure.self) {
      for seed in 1...3 as ClosedRange<UInt64> {
        _ = try FaultCampaign.run(seed: seed, fault: .failing) { LyingFileSystem($0, lie) }
      }
    }
  }
}

@Suite("Failing calls")
struct FaultCampaignTests {
  @Test(
    "An operation that fails loses nothing that was acknowledged",
    arguments: FaultCampaign.Fault.allCases, 1...8 as ClosedRange<UInt64>)
  func everyOperation(_ fault: FaultCampaign.Fault, _ seed: UInt64) throws {
    #expect(try FaultCampaign.run(seed: seed, fault: fault) > 50)
  }
}
