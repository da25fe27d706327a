import ArgumentParser
import CommandSupport
import EventModel
import LogFormat
import LogInspection
import Millrace
import StorageIO
import Synchronization
import SystemPackage

/// Checks everything in a store, and mends it where that is asked for.
struct FsckCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fsck",
    abstract: "Check a store: frames, chains, indexes, manifest and checkpoints.",
    discussion: """
      States exactly which acknowledged events are lost. The status is 0 if the store is clean, \
      4 if it is damaged, 8 if it cannot be checked. What a crash may leave is a note, and leaves \
      the store clean. Without --repair it needs no lock and never writes.

      --repair sets flipped bits right, records what is lost as gaps, makes derived files again \
      and puts together a manifest that is damaged. What goes or changes is kept in quarantine/ \
      first. No other process may write to the store. The status has 1 in it if anything was \
      repaired, and 4 if damage is left.

      Examples:
        millrace fsck fleet
        millrace fsck fleet --repair
        millrace fsck fleet --json
      """)

  @Argument(help: ArgumentHelp("The store's folder.", valueName: "store"))
  var store: String

  @Flag(help: "Mend what is damaged; a store without damage is left as it is.")
  var repair = false

  @Flag(help: "Print the result as JSON.")
  var json = false

  @Flag(help: "Show no progress.")
  var quiet = false

  func run() async throws {
    try ReadAccess.check(store, status: ExitStatus.FileSystemCheck.operationalError)
    let report = try repair ? await mend() : FsckReport(try check())
    do throws(OutputFailure) {
      try show(report)
    } catch .closedPipe {
      // What was found still is what the command ends with.
    } catch {
      throw CommandFailure(
        error.description, status: ExitStatus.FileSystemCheck.operationalError)
    }
    if let failure = report.failure { throw failure }
    let repaired = report.repairs.isEmpty ? 0 : ExitStatus.FileSystemCheck.repaired
    if !report.left.clean { throw report.left.failure(of: store, besides: repaired) }
    if repaired != 0 { throw ExitCode(repaired) }
  }

  private func show(_ report: FsckReport) throws(OutputFailure) {
    var output = StandardOutput()
    if json {
      try output.write(report.json.line)
    } else {
      for finding in report.found.findings { try output.writeLine(finding.text) }
      for repair in report.repairs { try output.writeLine(repair.text) }
      if !report.repairs.isEmpty {
        for finding in report.left.findings where finding.severity > .note {
          try output.writeLine("left: " + finding.text)
        }
      }
      try output.writeLine(report.left.summary(of: store))
    }
    try output.flush()
  }

  private func check() throws -> FsckResult {
    let progress = SharedProgress(Progress("checking", unit: "events", isQuiet: quiet))
    do throws(InspectionFailure) {
      let result = try Fsck.check(FilePath(store), fileSystem: SystemFileSystem()) { counts in
        progress.update(counts.events)
      }
      progress.finish()
      return result
    } catch {
      throw CommandFailure(error, status: ExitStatus.FileSystemCheck.operationalError)
    }
  }

  /// Repairs what only a closed store allows, then opens the store once: recovery does the rest.
  private func mend() async throws -> FsckReport {
    let progress = SharedProgress(Progress("checking", unit: "events", isQuiet: quiet))
    let outcome: StoreRepair.Outcome
    do throws(RepairFailure) {
      outcome = try StoreRepair.run(FilePath(store), environment: .system()) { counts in
        progress.update(counts.events)
      }
      progress.finish()
    } catch {
      throw CommandFailure(error)
    }
    var report = FsckReport(outcome.found)
    guard outcome.found.needsRepair else { return report }
    report.repairs = outcome.repairs
    do {
      let open = try await EventStore.open(at: store, configuration: .command, access: .readWrite)
      report.repairs += open.recoveryNotices.compactMap { Repair($0) }
      try await open.close()
    } catch {
      let done = report.repairs.isEmpty ? 0 : ExitStatus.FileSystemCheck.repaired
      report.failure = CommandFailure(
        "\(error); what was repaired stays, run it again",
        status: ExitStatus.FileSystemCheck.operationalError | done)
    }
    report.left = try check()
    return report
  }
}

/// What was found, what was done about it, and what is left.
private struct FsckReport {
  let found: FsckResult
  var repairs: [Repair] = []
  var left: FsckResult
  /// Why the store could not be opened after it was repaired.
  var failure: CommandFailure?

  init(_ found: FsckResult) {
    self.found = found
    left = found
  }

  var json: JSONValue {
    [
      "clean": .boolean(left.clean),
      "checked": left.checked.json,
      "findings": .array(found.findings.map(\.json)),
      "repairs": .array(repairs.map(\.json)),
    ]
  }
}

extension CommandFailure {
  fileprivate init(_ failure: RepairFailure) {
    switch failure {
    case .inspection(let failure):
      self.init(failure, status: ExitStatus.FileSystemCheck.operationalError)
    // As every command that writes.
    case .locked(let path, let holder):
      let name = holder.processID.map { "process \($0)" } ?? "another process"
      self.init("\(path) is being written by \(name); wait for it or stop it")
    case .io(let failure):
      self.init(
        "\(failure); what was repaired until then stays, run it again",
        status: ExitStatus.FileSystemCheck.operationalError)
    }
  }
}

extension Repair {
  /// What opening the store has changed; nil for what it has only seen.
  fileprivate init?(_ notice: RecoveryNotice) {
    guard notice.kind != .damaged, notice.kind != .unreadable, let partition = notice.partition
    else { return nil }
    let stream = FileHeader.Stream.allCases.first { stream in
      stream != .events
        && ManifestEdit.LogID(stream: stream, partition: 0).partitionID == partition
    }
    let log = ManifestEdit.LogID(
      stream: stream ?? .events,
      partition: stream == nil ? UInt32(clamping: partition.number) : 0)
    self.init(.recovered, file: log.folder, detail: notice.message)
  }

  fileprivate var json: JSONValue {
    [
      "file": .string(file), "position": .integer(position), "kind": .string(kind.rawValue),
      "detail": .string(detail),
    ]
  }

  fileprivate var text: String {
    "repaired: \(file) at \(position): \(kind.rawValue): \(detail)"
  }
}

/// A progress line that a closure may keep, and any thread move.
private final class SharedProgress: Sendable {
  private let line: Mutex<Progress>

  init(_ line: consuming sending Progress) { self.line = Mutex(line) }

  func update(_ count: Int) { line.withLock { $0.update(count) } }
  func finish() { line.withLock { $0.finish() } }
}

extension FsckResult {
  /// What a check that found errors ends with.
  func failure(of store: String, besides bits: Int32) -> CommandFailure {
    let errors = findings.filter { $0.severity == .error }
    var status = bits
    var parts: [String] = []
    if let newer = errors.first(where: { $0.kind == .unsupported }) {
      // Nothing is known to be wrong with it, and nothing is known to be right.
      status |= ExitStatus.FileSystemCheck.operationalError
      parts.append("\(newer.file) at \(newer.position): \(newer.detail); use a newer program")
    }
    if errors.contains(where: { $0.kind != .unsupported }) {
      status |= ExitStatus.FileSystemCheck.damageLeft
      parts.append(
        bits == 0
          ? "\(store) is damaged; the rest can be read; keep a copy, then run it with --repair"
          : "\(store) is damaged beyond what can be repaired; the rest can be read")
    }
    return CommandFailure(parts.joined(separator: "; "), status: status)
  }

  func summary(of store: String) -> String {
    var text = "\(store): \(clean ? "clean" : "not clean"); "
    text += "\(checked.files) files, \(checked.segments) segments, \(checked.frames) frames, "
    text += "\(checked.events) events checked"
    if !findings.isEmpty { text += "; \(findings.count + omitted) findings" }
    if omitted > 0 { text += ", \(omitted) not shown" }
    return text
  }
}

extension FsckCounts {
  fileprivate var json: JSONValue {
    [
      "files": .integer(files), "bytes": .integer(bytes), "segments": .integer(segments),
      "frames": .integer(frames), "batches": .integer(batches), "events": .integer(events),
      "indexEntries": .integer(indexEntries), "manifestEdits": .integer(manifestEdits),
      "checkpointEntries": .integer(checkpointEntries),
    ]
  }
}

extension FsckFinding {
  fileprivate var json: JSONValue {
    [
      "file": .string(file), "position": .integer(position), "kind": .string(kind.rawValue),
      "severity": .string(severity.rawValue), "detail": .string(detail),
      "acknowledgedLoss": acknowledgedLoss?.json ?? .null,
    ]
  }

  fileprivate var text: String {
    var text = "\(severity.rawValue): \(file) at \(position): \(kind.rawValue): \(detail)"
    if let loss = acknowledgedLoss { text += "; \(loss.text)" }
    return text
  }
}

extension AcknowledgedLoss {
  fileprivate var json: JSONValue {
    [
      "partition": .integer(Int(partition)), "firstSequence": .unsigned(firstSequence),
      "nextSequence": .unsigned(nextSequence),
      "devices": devices.map { .array($0.map(JSONValue.string)) } ?? .null,
      "from": from.map { JSONValue($0) } ?? .null, "to": to.map { JSONValue($0) } ?? .null,
    ]
  }

  fileprivate var text: String {
    let numbers = "\(firstSequence) up to \(nextSequence)"
    var text = "acknowledged and lost: "
    switch Int(partition) {
    case PartitionID.journal.number: text += "records \(numbers) of the queue journal"
    case PartitionID.feedback.number: text += "records \(numbers) of the feedback"
    case PartitionID.deadLetters.number: text += "records \(numbers) of the dead letters"
    default: text += "events \(numbers) of partition \(partition)"
    }
    if let devices { text += ", of \(devices.joined(separator: ", "))" }
    if let from { text += ", from \(TimeText.string(from))" }
    if let to { text += ", to \(TimeText.string(to))" }
    return text
  }
}
