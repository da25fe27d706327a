import ArgumentParser
import Glibc
import Testing

import CommandSupport

@Suite("Output")
struct OutputTests {
  @Test("Tables are aligned and have no spaces at the end of a line")
  func table() {
    var table = TextTable([("partition", .right), ("group", .left)])
    table.append(["0", "a"])
    table.append(["10", "größer"])
    #expect(table.text == "partition  group\n        0  a\n       10  größer\n")
  }

  @Test("A closed pipe is an error of its own, and no signal")
  func closedPipe() throws {
    var ends: [Int32] = [0, 0]
    #expect(pipe(&ends) == 0)
    close(ends[0])
    var output = StandardOutput(descriptor: ends[1])
    try output.writeLine("nobody reads this")
    do throws(OutputFailure) {
      try output.flush()
      Issue.record("the write succeeded")
    } catch {
      #expect(error == .closedPipe)
    }
    close(ends[1])
  }

  @Test("A full disk is an error")
  func fullDisk() throws {
    let descriptor = open("/dev/full", O_WRONLY)
    defer { close(descriptor) }
    var output = StandardOutput(descriptor: descriptor)
    do throws(OutputFailure) {
      try output.write([UInt8](repeating: 0x61, count: StandardOutput.bufferSize))
      Issue.record("the write succeeded")
    } catch {
      #expect(error == .failed(errno: ENOSPC))
    }
  }

  @Test("Output is written when the buffer is full, or when flushed")
  func flushing() throws {
    var ends: [Int32] = [0, 0]
    #expect(pipe(&ends) == 0)
    let reader = ByteStream(descriptor: ends[0], name: "pipe", closes: true)
    var output = StandardOutput(descriptor: ends[1])
    output.append { $0.append(contentsOf: "early\n".utf8) }
    try output.flushIfFull()
    var lines = LineReader(reader)
    #expect(try !lines.hasLineAtHand())
    try output.flush()
    #expect(try lines.hasLineAtHand())
    #expect(try lines.next().map { String(decoding: $0, as: UTF8.self) } == "early")
    close(ends[1])
  }

  @Test("Progress tells rate and total")
  func progress() {
    #expect(
      Progress.text("ingesting", "events", count: 50, total: 200, elapsed: .seconds(2))
        == "ingesting: 50 of 200 events (25%), 25/s")
    #expect(
      Progress.text("reading", "events", count: 50, total: nil, elapsed: .zero)
        == "reading: 50 events, 0/s")
  }

  @Test("Messages stay on one line and carry the command's name")
  func messages() {
    #expect(StandardError.joined("a\nb\r\n\nc") == "a b c")
    #expect(
      CommandRunner.relabelled("Error: no\nHelp:  a\nUsage: x\n  See 'x --help' for more.")
        == "millrace: error: no; see `x --help`")
  }

  private struct Sample: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "millrace")

    @Option(transform: ByteSize.parsed) var size: ByteSize?
    @Option var outcome = "success"

    func run() async throws {
      switch outcome {
      case "failure": throw CommandFailure("the store is\nlocked")
      case "damage": throw ExitCode(ExitStatus.damage)
      case "closed": throw OutputFailure.closedPipe
      case "input": throw InputError(file: "a", .noHeader)
      case "argument": throw BadArgument("no column 'x'")
      case "check":
        throw CommandFailure("gone", status: ExitStatus.FileSystemCheck.operationalError)
      default: return
      }
    }
  }

  @Test(
    "The exit status follows from how the command ended",
    arguments: [
      ([], 0), (["--outcome", "failure"], 1), (["--outcome", "damage"], 2),
      (["--outcome", "closed"], 0), (["--outcome", "input"], 1), (["--outcome", "argument"], 64),
      (["--outcome", "check"], 8), (["--size", "1K"], 64), (["--nothing"], 64),
      (["--size", "1KiB"], 0),
    ] as [([String], Int32)])
  func statuses(arguments: [String], expected: Int32) async {
    #expect(await CommandRunner.run(Sample.self, arguments: arguments) == expected)
  }
}
