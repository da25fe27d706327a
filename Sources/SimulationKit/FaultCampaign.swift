internal import CommitLog
internal import EventModel
internal import StorageIO
internal import SystemPackage

/// Lets every storage operation of a seeded workload fail once, goes on, then loses power: what was
/// acknowledged before and after the failure must be there (I1, I8, I9).
package enum FaultCampaign {
  package enum Fault: String, Sendable, CaseIterable {
    case full, failing, shortWrite

    var reason: Errno { self == .full ? .noSpace : .ioError }
  }

  /// Runs one workload with each of its operations failing, and returns how many did.
  package static func run(
    seed: UInt64, fault: Fault
  ) throws(CrashCampaign.Failure) -> Int {
    let workload = Workload(seed: seed)
    let healthy = SimulatedDisk()
    do throws(CommitLogFailure) {
      _ = try workload.run(on: healthy)
    } catch {
      throw failure(seed, 0, fault, "\(error)")
    }
    for operation in 1...healthy.operationCount {
      let plan = FaultPlan(failures: [
        FaultPlan.Failure(
          .operation(operation), fault.reason, bytesWritten: fault == .shortWrite ? 100 : 0)
      ])
      let disk = SimulatedDisk(plan)
      let outcome: Workload.Outcome
      do throws(CommitLogFailure) {
        outcome = try workload.run(on: disk, tolerates: true)
      } catch {
        throw failure(seed, operation, fault, "\(error)")
      }
      if let violation = outcome.violation { throw failure(seed, operation, fault, violation) }
      var random = SeededRandom(seed: seed &+ UInt64(operation))
      for style in [CrashStyle.dropAll, .keepAll, .random] {
        let image = disk.crashImage(using: &random, style)
        let violation = CrashPredicate.violation(
          of: outcome.model, on: image, segmentSize: workload.segmentSize,
          seed: seed &+ UInt64(operation))
        if let violation {
          throw failure(seed, operation, fault, "then \(style.rawValue): \(violation)")
        }
      }
    }
    return healthy.operationCount
  }

  private static func failure(
    _ seed: UInt64, _ operation: Int, _ fault: Fault, _ violation: String
  ) -> CrashCampaign.Failure {
    CrashCampaign.Failure(
      seed: seed, operation: operation, style: "\(fault.rawValue) there", violation: violation)
  }
}
