import ArgumentParser
import CommandSupport
import LogFormat
import LogInspection
import StorageIO
import SystemPackage

/// Shows what is in a store's files, whatever state they are in.
struct DumpCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dump",
    abstract: "Show a store, a segment, an index, the manifest or checkpoints as they are on disk.",
    discussion: """
      Needs no lock and never writes. Prints damage where it stands and goes on; ends with status \
      2 if there was any. With --json one JSON object a line: of events with --records, of frame \
      headers with --frames, of files and their entries with neither.

      Examples:
        millrace dump fleet --frames
        millrace dump fleet/MANIFEST
        millrace dump fleet --records --json > events.ndjson
      """)

  @Argument(help: ArgumentHelp("A store's folder, or one of its files.", valueName: "path"))
  var path: String

  @Flag(help: "Show the header of each frame.")
  var frames = false

  @Flag(help: "Show each event.")
  var records = false

  @Flag(help: "Show the bytes of what is shown: file headers, index entries, frames, bodies.")
  var hex = false

  @Flag(help: "Print one JSON object a line.")
  var json = false

  func run() async throws {
    let root = FilePath(path)
    let inspector: StoreInspector
    do throws(InspectionFailure) {
      inspector = try StoreInspector(root, fileSystem: SystemFileSystem())
    } catch {
      throw CommandFailure(error)
    }
    let printer = DumpPrinter(
      DumpPrinter.Selection(
        frames: frames, records: records, hex: hex, json: json,
        indexEntries: inspector.target == .file(.index)),
      root: inspector.target == .store ? root : nil)
    inspector.walk { printer.show($0) }
    try printer.finish()
    if let newer = printer.firstUnsupported {
      throw CommandFailure(
        "\(newer.file) at \(newer.position): \(newer.detail); use a newer program")
    }
    guard printer.damageCount > 0 else { return }
    StandardError.notice(
      "\(path): damaged places: \(printer.damageCount); `millrace fsck` says what a store has lost")
    throw ExitCode(ExitStatus.damage)
  }
}
