internal import CommitLog
internal import EventModel
package import StorageIO
internal import SystemPackage

/// Lets every storage operation of a seeded workload fail once, goes on, then loses power: what was
/// acknowledged before and after the failure must be there (I1, I8, I9).
package enum FaultCampaign {
  package enum Fault: String, Sendable, CaseIterable {
    case full, failing, shortWrite

    var reason: Errno { self == .full ? .noSpace : .ioError }
  }

  /// A failure that broke the predicate, and how to see it again.
  package struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
    package let seed: UInt64
    package let operation: Int
    package let fault: Fault
    package let violation: String

    package var description: String {
      "seed \(seed), \(fault.rawValue) at operation \(operation): \(violation)\n"
        + "replay: swift run -c release torture --fault-seed \(seed)"
    }
  }

  /// Runs one workload with each of its operations failing.
  ///
  /// - Parameters:
  ///   - seed: determines the workload.
  ///   - fault: how they fail.
  ///   - wrapping: what the workload runs on, for tests of the campaign itself.
  /// - Returns: how many operations failed.
  /// - Throws: ``Failure`` with what it takes to see it again.
  package static func run(
    seed: UInt64, fault: Fault, wrapping: (SimulatedDisk) -> any FileSystem = { $0 }
  ) throws(Failure) -> Int {
    let workload = Workload(seed: seed)
    let healthy = SimulatedDisk()
    do throws(CommitLogFailure) {
      _ = try workload.run(on: healthy, through: wrapping(healthy))
    } catch {
      throw Failure(seed: seed, operation: 0, fault: fault, violation: "\(error)")
    }
    for operation in 1...healthy.operationCount {
      if let violation = violation(
        of: workload, failing: operation, fault, wrapping)
      {
        throw Failure(seed: seed, operation: operation, fault: fault, violation: violation)
      }
    }
    return healthy.operationCount
  }

  private static func violation(
    of workload: Workload, failing operation: Int, _ fault: Fault,
    _ wrapping: (SimulatedDisk) -> any FileSystem
  ) -> String? {
    let plan = FaultPlan(failures: [
      FaultPlan.Failure(
        .operation(operation), fault.reason, bytesWritten: fault == .shortWrite ? 100 : 0)
    ])
    let disk = SimulatedDisk(plan)
    let outcome: Workload.Outcome
    do throws(CommitLogFailure) {
      outcome = try workload.run(on: disk, through: wrapping(disk), tolerates: true)
    } catch {
      return "\(error)"
    }
    if let violation = outcome.violation { return violation }
    let seed = workload.seed &+ UInt64(operation)
    var random = SeededRandom(seed: seed)
    for style in [CrashStyle.dropAll, .keepAll, .random] {
      let image = disk.crashImage(using: &random, style)
      let violation = CrashPredicate.violation(
        of: outcome.model, on: image, segmentSize: workload.segmentSize, seed: seed)
      if let violation { return "then \(style.rawValue): \(violation)" }
    }
    return nil
  }
}
