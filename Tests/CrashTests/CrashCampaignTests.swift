import SimulationKit
import Synchronization
import Testing

@Suite("Crashes")
struct CrashCampaignTests {
  /// Distinct states that the default run tries, at least.
  private static let stateCount = 20_000

  @Test("Nothing acknowledged is lost by a crash at any operation, also inside recovery")
  func everyOperation() async throws {
    let states = try await withThrowingTaskGroup(of: Set<UInt64>.self) { group in
      let next = Mutex<UInt64>(1)
      let found = Mutex(0)
      for _ in 0..<2 {
        group.addTask {
          var campaign = CrashCampaign()
          while found.withLock({ $0 }) < Self.stateCount + 5_000 {
            let before = campaign.states.count
            let seed = next.withLock { seed in
              defer { seed += 1 }
              return seed
            }
            try campaign.run(seed: seed)
            found.withLock { $0 += campaign.states.count - before }
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
