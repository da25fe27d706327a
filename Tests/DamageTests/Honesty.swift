import CommitLog
import EventModel
import LogFormat
import LogInspection
import SimulationKit
import StorageIO
import SystemPackage

/// The one predicate of the damage tests: whatever was damaged, no reader makes anything up, and
/// nothing that was acknowledged is missing unsaid.
struct Honesty {
  let store: CanonicalStore
  let damaged: CanonicalStore
  /// The damaged file.
  let file: FilePath
  /// Whether more than a bit is damaged: what nothing testifies to may then look unfinished, or be
  /// gone without a trace.
  let isWide: Bool
  var witnesses = Witnesses.all

  /// What is broken, in words; nil when everything holds.
  func violation() throws -> String? {
    let fileSystem = damaged.fileSystem
    let found = try Fsck.check(CanonicalStore.root, fileSystem: fileSystem)
    let lost = Inspection.lost(found.findings)
    if found.clean, lost.contains(where: { !$0.isEmpty }) { return "events are lost, and clean" }
    if let violation = try readOnlyViolation(lost) { return "read-only: \(violation)" }
    guard witnesses == .all else { return nil }
    if let violation = try dumpViolation(found, lost, fileSystem) { return violation }
    guard damaged.isUntouched(on: fileSystem) else { return "reading has written" }
    return try writingViolation(lost).map { "writing: \($0)" }
  }

  private func dumpViolation(
    _ found: FsckResult, _ lost: [Set<UInt64>], _ fileSystem: MemoryFileSystem
  ) throws -> String? {
    let (dumped, damages) = try Inspection.dump(fileSystem)
    _ = try StoreStatistics.collect(CanonicalStore.root, fileSystem: fileSystem)
    if let wrong = wrongEvent(dumped) { return "dump: \(wrong)" }
    if damages.isEmpty, lost.contains(where: { !$0.isEmpty }) {
      return "events are lost and dump shows nothing"
    }
    return try missing(dumped, lost, "fsck", undecidable: undecidable(found))
  }

  private func undecidable(_ result: FsckResult) -> Bool {
    result.findings.contains { $0.kind == .undecidableTail }
  }

  private func wrongEvent(_ seen: Seen) -> String? {
    for (partition, events) in seen.events.enumerated() {
      for (number, event) in events {
        guard number < store.events[partition].count,
          store.events[partition][Int(number)] == event
        else { return "event \(number) of \(partition) was never appended" }
      }
    }
    return nil
  }

  /// Compares what is missing with what is said to be.
  private func missing(
    _ seen: Seen, _ lost: [Set<UInt64>], _ who: String, undecidable: Bool = false
  ) throws -> String? {
    for partition in store.events.indices {
      let shown = Set(seen.events[partition].keys)
      let acknowledged = Set(0..<UInt64(store.acknowledged[partition]))
      guard lost[partition].isDisjoint(with: shown) else {
        return "\(who): \(lost[partition].intersection(shown)) of \(partition) are there and lost"
      }
      guard lost[partition].isSubset(of: acknowledged) else {
        return "\(who): \(lost[partition].subtracting(acknowledged)) never were acknowledged"
      }
      let unsaid = acknowledged.subtracting(shown).subtracting(lost[partition])
        .subtracting(seen.possiblyAcknowledged[partition])
      guard unsaid.isEmpty || undecidable || isUnproven(unsaid, in: partition) else {
        return "\(who): \(unsaid.sorted()) of \(partition) are missing unsaid"
      }
    }
    return nil
  }

  /// Whether events stand in the last group, which nothing testifies to, and were cut off.
  private func isUnproven(_ numbers: Set<UInt64>, in partition: Int) -> Bool {
    isWide && (numbers.min() ?? 0) + 3 >= UInt64(store.acknowledged[partition])
  }

  private func readOnlyViolation(_ lost: [Set<UInt64>]) throws -> String? {
    let seen: Seen
    do {
      seen = try Engine.readOnly(damaged.fileSystem)
    } catch let failure as CommitLogFailure {
      return refusal(failure)
    }
    if let wrong = wrongEvent(seen) { return wrong }
    guard seen.lost == lost else { return "gaps \(seen.lost), fsck says \(lost)" }
    if let violation = try missing(seen, seen.lost, "gaps") { return violation }
    return file.extension == "footer" ? try filteredViolation(seen) : nil
  }

  /// A footer is a shortcut for those who ask for one device: it must not hide an event.
  private func filteredViolation(_ seen: Seen) throws -> String? {
    for (partition, events) in seen.events.enumerated() {
      for device in Set(events.values.map(\.deviceID)) {
        let found = try Engine.numbers(of: device, in: partition, damaged.fileSystem)
        let all = Set(events.filter { $0.value.deviceID == device }.keys)
        guard found == all else { return "\(device) has \(all.sorted()), found \(found.sorted())" }
      }
    }
    return nil
  }

  /// A store that does not open names the damaged file.
  private func refusal(_ failure: CommitLogFailure) -> String? {
    switch failure {
    case .format(file, _, _), .missingFile(file): nil
    default: "\(failure)"
    }
  }

  private func writingViolation(_ lost: [Set<UInt64>]) throws -> String? {
    let fileSystem = damaged.fileSystem
    var seen: Seen
    do {
      let opened = try Engine.open(fileSystem, seed: 7)
      seen = try Engine.read(opened)
      if let wrong = wrongEvent(seen) { return wrong }
      guard seen.lost == lost else { return "gaps \(seen.lost), fsck says \(lost)" }
      if let violation = try missing(seen, seen.lost, "gaps") { return violation }
      for (number, partition) in opened.log.partitions.enumerated() {
        let event = Event(
          from: store.events[number][0].deviceID, body: "new",
          enqueuedTime: Timestamp(microseconds: 1_800_000_000_000_000))
        let place = try Engine.append(event, to: partition)
        let first = Set(seen.events[number].keys).union(seen.lost[number]).max().map { $0 + 1 }
        guard place == first ?? 0 else { return "\(place) was given again, not \(first ?? 0)" }
        seen.events[number][place] = event
        seen.possiblyAcknowledged[number] = []
      }
      if let violation = try goneOn(opened, seen, "at once") { return violation }
      try opened.log.close()
    } catch let failure as CommitLogFailure {
      return refusal(failure)
    }
    let again = try Engine.open(fileSystem, seed: 8)
    for report in again.reports where !report.isClean { return "found again: \(report)" }
    return try goneOn(again, seen, "opened again")
  }

  private func goneOn(_ opened: Engine.Opened, _ seen: Seen, _ when: String) throws -> String? {
    var now = try Engine.read(opened)
    now.possiblyAcknowledged = seen.possiblyAcknowledged
    guard now == seen else {
      return "\(when) \(now.events.map(\.keys.count)) events and gaps \(now.lost), not "
        + "\(seen.events.map(\.keys.count)) and \(seen.lost)"
    }
    return nil
  }
}
