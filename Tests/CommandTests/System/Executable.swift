import CommandSupport
import Foundation
import Glibc
import Synchronization
import Testing

/// The built command as a process of its own.
final class Executable {
  /// What a run that ended left behind.
  struct Outcome {
    /// The exit status; minus the number of the signal that ended it.
    let status: Int32
    let output: Data
    let errors: String

    /// What it printed, line by line.
    var lines: [String] { output.lines.map { String(decoding: $0, as: UTF8.self) } }

    /// The events it printed.
    var events: [StoredEvent] {
      get throws { try output.lines.map { try JSONDecoder().decode(StoredEvent.self, from: $0) } }
    }

    /// The only JSON document it printed.
    func document<Document: Decodable>(_ type: Document.Type) throws -> Document {
      try JSONDecoder().decode(type, from: output)
    }
  }

  /// The folder of the tests' own executable, where the build puts the command too.
  private static let folder = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
    .deletingLastPathComponent()

  let processID: pid_t
  /// Where the test writes what the command reads; closed with ``closeInput()``.
  private var input: Int32
  /// Where the test reads what the command prints.
  private var output: Int32
  private let errors: String

  /// Starts the command.
  ///
  /// - Parameters:
  ///   - arguments: after the command's name.
  ///   - more: arguments behind those, of any bytes.
  ///   - file: what it reads; a pipe from the test if there is none.
  ///   - memoryMax: the KiB that it may take beside files that it maps; nil for any.
  ///   - scratch: where its standard error is kept.
  /// - Throws: what the system refuses.
  init(
    _ arguments: [String], _ more: [[UInt8]] = [], input file: String? = nil,
    memoryMax: Int? = nil, scratch: Scratch
  ) throws {
    Signals.ignoreBrokenPipes()
    let command = [Self.folder.appending(path: "millrace").path] + arguments
    let words = memoryMax.map { Self.limited(command, memoryMax: $0) } ?? command
    (processID, input, output, errors) = try Self.starting.withLock { _ in
      try Self.start(words, more, file, scratch)
    }
  }

  /// The words of a command that gets no more memory than that, and traps where it asks for it;
  /// without a limit under a sanitizer, which takes much for itself.
  private static func limited(_ command: [String], memoryMax: Int) -> [String] {
    let names = ["ASAN_OPTIONS", "TSAN_OPTIONS"]
    guard names.allSatisfy({ getenv($0) == nil }) else { return command }
    return ["/bin/sh", "-c", #"ulimit -d "$0" && exec "$@""#, "\(memoryMax)"] + command
  }

  /// One start at a time: an end of a pipe that another test's command inherits would keep that
  /// pipe from ending.
  private static let starting = Mutex(())

  private static func start(
    _ command: [String], _ more: [[UInt8]], _ file: String?, _ scratch: Scratch
  ) throws -> (processID: pid_t, input: Int32, output: Int32, errors: String) {
    let errors = scratch.path("errors-\(UUID().uuidString)")
    let toCommand = try Self.pipe()
    let fromCommand = try Self.pipe()
    defer { for end in [toCommand.reading, fromCommand.writing] { close(end) } }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    if let file {
      posix_spawn_file_actions_addopen(&actions, 0, file, O_RDONLY, 0)
    } else {
      posix_spawn_file_actions_adddup2(&actions, toCommand.reading, 0)
    }
    posix_spawn_file_actions_adddup2(&actions, fromCommand.writing, 1)
    posix_spawn_file_actions_addopen(&actions, 2, errors, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    let bytes = more.map { word in strdup(word.map { CChar(bitPattern: $0) } + [0]) }
    var words = command.map { strdup($0) } + bytes + [nil]
    defer { for word in words { free(word) } }
    var child = pid_t()
    let status = posix_spawn(&child, command[0], &actions, nil, &words, environ)
    guard status == 0 else { throw POSIXError(POSIXErrorCode(rawValue: status) ?? .ENOENT) }
    return (child, toCommand.writing, fromCommand.reading, errors)
  }

  deinit {
    closeInput()
    closeOutput()
  }

  /// Runs the command to its end with some input.
  static func run(
    _ arguments: [String], input: String = "", scratch: Scratch
  ) throws -> Outcome {
    let file = try scratch.write(input.utf8, to: "input-\(UUID().uuidString)")
    return try Executable(arguments, input: file, scratch: scratch).finish()
  }

  /// Runs the command and expects success.
  @discardableResult
  static func succeed(
    _ arguments: [String], input: String = "", scratch: Scratch,
    at location: SourceLocation = #_sourceLocation
  ) throws -> Outcome {
    let outcome = try run(arguments, input: input, scratch: scratch)
    #expect(
      outcome.status == 0, "\(arguments): \(outcome.errors)", sourceLocation: location)
    return outcome
  }

  /// Writes to its standard input; what a command that has ended no longer takes is dropped.
  func send(_ bytes: some Sequence<UInt8>) {
    _ = Descriptor.write(Array(bytes)[...], to: input)
  }

  func closeInput() {
    guard input >= 0 else { return }
    close(input)
    input = -1
  }

  /// Reads once of what it printed; empty at the end.
  func receive(atMost count: Int = 64 << 10) throws -> Data {
    var waiting = pollfd(fd: output, events: Int16(POLLIN), revents: 0)
    // Far longer than anything takes: a test that would wait for ever fails instead.
    try #require(poll(&waiting, 1, 120_000) > 0, "nothing was printed for two minutes")
    var bytes = [UInt8](repeating: 0, count: count)
    let found = read(output, &bytes, count)
    return Data(bytes.prefix(max(0, found)))
  }

  /// Closes the test's end of its standard output, as `head` does.
  func closeOutput() {
    guard output >= 0 else { return }
    close(output)
    output = -1
  }

  func send(signal: Int32) { kill(processID, signal) }

  /// Reads what is left of its output and waits for its end.
  func finish() throws -> Outcome {
    closeInput()
    var printed = Data()
    while output >= 0, case let more = try receive(), !more.isEmpty { printed += more }
    var status: Int32 = 0
    while waitpid(processID, &status, 0) < 0 && errno == EINTR {}
    let signal = status & 0x7f
    return Outcome(
      status: signal == 0 ? (status >> 8) & 0xff : -signal, output: printed,
      errors: try String(contentsOfFile: errors, encoding: .utf8))
  }

  private static func pipe() throws -> (reading: Int32, writing: Int32) {
    var ends: [Int32] = [-1, -1]
    guard Glibc.pipe(&ends) == 0 else {
      throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EMFILE)
    }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (ends[0], ends[1])
  }
}

extension Data {
  /// The lines without their ends; what has no end is the last one.
  ///
  /// The C library looks for the ends: unoptimised, a loop over bytes would be most of a test.
  var lines: [Data] {
    var lines: [Data] = []
    var start = startIndex
    for end in lineEnds + [endIndex] where end > start || end < endIndex {
      lines.append(self[start..<end])
      start = end + 1
    }
    return lines
  }

  /// Where the line feeds stand.
  var lineEnds: [Int] {
    withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return [] }
      var ends: [Int] = []
      var position = 0
      while let hit = memchr(base + position, 0x0a, bytes.count - position) {
        position = UnsafeRawPointer(hit) - base + 1
        ends.append(startIndex + position - 1)
      }
      return ends
    }
  }
}

extension Executable {
  /// Where a group goes on in each partition.
  static func checkpoints(
    of group: String, in store: String, scratch: Scratch
  ) throws -> [Int] {
    struct Place: Decodable {
      let name: String
      let partition: Int
      let checkpoint: Int?
    }
    let outcome = try succeed(["groups", "list", store, "--json"], scratch: scratch)
    return try outcome.document([Place].self).filter { $0.name == group }
      .sorted { $0.partition < $1.partition }.map { $0.checkpoint ?? 0 }
  }
}

/// An event as the command prints it.
struct StoredEvent: Decodable, Hashable {
  let partition: Int
  let sequenceNumber: Int
  let deviceId: String
  let body: String
}

/// A folder of one test's own.
final class Scratch {
  private let folder: URL

  init() throws {
    folder = FileManager.default.temporaryDirectory.appending(
      path: "millrace-command-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  }

  deinit {
    do {
      try FileManager.default.removeItem(at: folder)
    } catch {
      Issue.record("\(folder.path) is left behind: \(error)")
    }
  }

  func path(_ name: String) -> String { folder.appending(path: name).path }

  func write(_ bytes: some Sequence<UInt8>, to name: String) throws -> String {
    try Data(bytes).write(to: folder.appending(path: name))
    return path(name)
  }
}
