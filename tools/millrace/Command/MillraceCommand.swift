import ArgumentParser
import CommandSupport
import Glibc

/// The command's root: it only holds the subcommands.
@main
struct MillraceCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "millrace",
    abstract: "A persistent, append-only event store for device messaging.",
    discussion: """
      Examples:
        millrace init fleet --partitions 8
        millrace ingest fleet data.ndjson --format ndjson --device-field /device
        millrace read fleet --from -2h
      """,
    subcommands: [
      InitCommand.self, IngestCommand.self, ReadCommand.self, DumpCommand.self,
      FsckCommand.self, SalvageCommand.self, StatCommand.self, GroupsCommand.self,
      RetainCommand.self, SnapshotCommand.self, QueueCommand.self, FeedbackCommand.self,
      DeadLettersCommand.self, BenchCommand.self,
    ])

  static func main() async {
    Glibc.exit(await CommandRunner.run(Self.self))
  }
}
