import ArgumentParser
import CommandSupport
import Millrace

/// Copies a store that may be in use.
struct SnapshotCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "snapshot",
    abstract: "Make a consistent copy of a store, also while it is written.",
    discussion: """
      Works beside a writer. Sealed segments are linked, not copied, where both folders are on one
      file system. The copy is a store of its own; the folder must be empty or absent.

      Example:
        millrace snapshot fleet backup/fleet-monday
      """)

  @Argument(help: ArgumentHelp("The store's folder.", valueName: "store"))
  var store: String

  @Argument(help: ArgumentHelp("The folder of the copy.", valueName: "dir"))
  var target: String

  func run() async throws {
    let open = try await EventStore.open(at: store, configuration: .command, access: .readOnly)
    let report = try await open.snapshot(to: target)
    try await open.close()
    for gap in report.gaps { StandardError.notice("\(gap)") }
    if let damage = report.checkpointDamage {
      StandardError.notice(
        "\(store), checkpoints: \(damage); consumer groups are lost in the copy, or stand further "
          + "back")
    }
    if !report.gaps.isEmpty || report.checkpointDamage != nil { throw ExitCode(ExitStatus.damage) }
  }
}
