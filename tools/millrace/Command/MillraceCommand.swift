import ArgumentParser
import CommandSupport
import Glibc

/// The command's root: it only holds the subcommands.
@main
struct MillraceCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "millrace",
    abstract: "A persistent, append-only event store for device messaging.",
    subcommands: [
      InitCommand.self, IngestCommand.self, ReadCommand.self, GroupsCommand.self,
    ])

  static func main() async {
    Glibc.exit(await CommandRunner.run(Self.self))
  }
}
