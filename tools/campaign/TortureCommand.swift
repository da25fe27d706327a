import ArgumentParser
import QueueSimulation
import SimulationKit

/// More simulated crashes than the tests have time for.
@main
struct TortureCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "torture",
    abstract: "Crashes seeded workloads at every storage operation and checks what is left.",
    discussion: "Example: torture --seconds 600 --seed 7")

  @Option(help: "The first seed; the next workload has the next one.") var seed: UInt64 = 1
  @Option(help: "How long to go on.") var seconds: Int?
  @Option(help: "How many distinct states to try.") var states: Int?
  @Option(help: "Only the crash at this operation of the first seed's workload.")
  var operation: Int?
  @Option(help: "Random disk states of each crash.") var images = 4
  @Option(
    help: "Runs this seed's operations against a model instead; with --seconds the next ones too.")
  var modelSeed: UInt64?
  @Option(help: "The same for the queues of messages to devices.") var queueSeed: UInt64?
  @Option(
    help: "Lets every operation of this seed's workload fail instead; with --seconds of the next.")
  var faultSeed: UInt64?

  func run() async throws {
    if let faultSeed { return try runFaults(faultSeed) }
    if let queueSeed { return try await runQueues(queueSeed) }
    if let modelSeed { return try runModel(modelSeed) }
    var campaign = CrashCampaign()
    campaign.randomImages = images
    if let operation {
      try campaign.run(seed: seed, operation: operation)
      print("seed \(seed), operation \(operation): everything holds")
      return
    }
    let start = ContinuousClock.now
    let budget: Duration = .seconds(seconds ?? (states == nil ? 60 : .max))
    var next = seed
    var distinct = 0
    while ContinuousClock.now - start < budget, distinct < states ?? .max {
      let known = campaign.states.count
      try campaign.run(seed: next)
      distinct += campaign.states.count - known
      next += 1
    }
    print(
      "seeds \(seed) to \(next - 1): \(distinct) distinct crash states of \(campaign.trialCount) "
        + "tried in \(ContinuousClock.now - start); everything holds")
    print("summary: \(distinct) distinct crash states of \(campaign.trialCount)")
  }

  /// Lets calls fail in the workload of one seed, or of as many as the time allows.
  private func runFaults(_ first: UInt64) throws {
    let start = ContinuousClock.now
    var next = first
    var counts: [FaultCampaign.Fault: Int] = [:]
    repeat {
      for fault in FaultCampaign.Fault.allCases {
        counts[fault, default: 0] += try FaultCampaign.run(seed: next, fault: fault)
      }
      next += 1
    } while ContinuousClock.now - start < .seconds(seconds ?? 0)
    print(
      "fault seeds \(first) to \(next - 1) in \(ContinuousClock.now - start): nothing that was "
        + "acknowledged is lost")
    print(
      "summary: \(counts[.full] ?? 0) full disks, \(counts[.failing] ?? 0) failed calls, "
        + "\(counts[.shortWrite] ?? 0) short writes")
  }

  /// Runs one seed, or as many as the time allows.
  private func runModel(_ first: UInt64) throws {
    let start = ContinuousClock.now
    var next = first
    var coverage = ModelCoverage()
    repeat {
      coverage.add(try ModelCampaign().run(seed: next))
      next += 1
    } while ContinuousClock.now - start < .seconds(seconds ?? 0)
    print(
      "model seeds \(first) to \(next - 1) in \(ContinuousClock.now - start): \(coverage); the "
        + "engine is what the model says")
    print("summary: \(coverage.operationCount) operations")
  }

  /// Runs one seed of the queues' model, or as many as the time allows.
  private func runQueues(_ first: UInt64) async throws {
    let start = ContinuousClock.now
    var next = first
    var coverage = QueueCoverage()
    repeat {
      coverage.add(try await QueueCampaign().run(seed: next))
      next += 1
    } while ContinuousClock.now - start < .seconds(seconds ?? 0)
    print(
      "queue seeds \(first) to \(next - 1) in \(ContinuousClock.now - start): \(coverage); the "
        + "queues are what the model says")
    print(
      "summary: \(coverage.operationCount) operations, \(coverage.crashStates.count) distinct "
        + "crash states")
  }
}
