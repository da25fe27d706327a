import ArgumentParser
import CommandSupport
import EventModel
import LogInspection
import StorageIO
import SystemPackage

/// Checks everything in a store and changes nothing.
struct FsckCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fsck",
    abstract: "Check a store: frames, chains, indexes, manifest and checkpoints.",
    discussion: """
      Needs no lock and never writes. States exactly which acknowledged events are lost. The \
      status is 0 if the store is clean, 4 if it is damaged, 8 if it cannot be checked. What a \
      crash may leave is a note, and leaves the store clean.

      Examples:
        millrace fsck fleet
        millrace fsck fleet --json
      """)

  @Argument(help: ArgumentHelp("The store's folder.", valueName: "store"))
  var store: String

  @Flag(help: "Print the result as JSON.")
  var json = false

  @Flag(help: "Show no progress.")
  var quiet = false

  func run() async throws {
    let result = try check()
    do throws(OutputFailure) {
      try show(result)
    } catch .closedPipe {
      // What was found still is what the command ends with.
    } catch {
      throw CommandFailure(
        error.description, status: ExitStatus.FileSystemCheck.operationalError)
    }
    guard !result.clean else { return }
    throw result.failure(of: store)
  }

  private func show(_ result: FsckResult) throws(OutputFailure) {
    var output = StandardOutput()
    if json {
      try output.write(result.json.line)
    } else {
      for finding in result.findings { try output.writeLine(finding.text) }
      try output.writeLine(result.summary(of: store))
    }
    try output.flush()
  }

  private func check() throws -> FsckResult {
    try ReadAccess.check(store, status: ExitStatus.FileSystemCheck.operationalError)
    let progress = SharedProgress(Progress("checking", unit: "events", isQuiet: quiet))
    do throws(InspectionFailure) {
      let result = try Fsck.check(FilePath(store), fileSystem: SystemFileSystem()) { counts in
        progress.line.update(counts.events)
      }
      progress.line.finish()
      return result
    } catch {
      throw CommandFailure(error, status: ExitStatus.FileSystemCheck.operationalError)
    }
  }
}

/// A progress line that a closure may keep.
private final class SharedProgress {
  var line: Progress

  init(_ line: consuming Progress) { self.line = line }
}

extension FsckResult {
  var json: JSONValue {
    [
      "clean": .boolean(clean),
      "checked": checked.json,
      "findings": .array(findings.map(\.json)),
      // This check repairs nothing.
      "repairs": .array([]),
    ]
  }

  /// What a check that found errors ends with.
  func failure(of store: String) -> CommandFailure {
    let errors = findings.filter { $0.severity == .error }
    var status: Int32 = 0
    var parts: [String] = []
    if let newer = errors.first(where: { $0.kind == .unsupported }) {
      // Nothing is known to be wrong with it, and nothing is known to be right.
      status |= ExitStatus.FileSystemCheck.operationalError
      parts.append("\(newer.file) at \(newer.position): \(newer.detail); use a newer program")
    }
    if omitted > 0 || errors.contains(where: { $0.kind != .unsupported }) {
      status |= ExitStatus.FileSystemCheck.damageLeft
      parts.append("\(store) is damaged; the rest can be read, keep a copy before anything else")
    }
    return CommandFailure(parts.joined(separator: "; "), status: status)
  }

  func summary(of store: String) -> String {
    var text = "\(store): \(clean ? "clean" : "not clean"); "
    text += "\(checked.files) files, \(checked.segments) segments, \(checked.frames) frames, "
    text += "\(checked.events) events checked"
    if !findings.isEmpty { text += "; \(findings.count + omitted) findings" }
    if omitted > 0 { text += ", the last \(omitted) not shown" }
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
