import ArgumentParser
import CommandSupport
import Glibc

/// What the demonstration needs beside the command: telemetry, and the proof of what became of it.
@main
struct FleetCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fleet", abstract: "A simulated fleet's telemetry, and the proof of its keeping.",
    subcommands: [Generate.self, Prove.self])

  static func main() async {
    Glibc.exit(await CommandRunner.run(Self.self))
  }
}
