import Foundation
import Millrace

/// Runs one workload in one store and prints one line of JSON: called by a harness as it calls the
/// engines it measures.
@main
struct PeerDriver {
  private static let usage = """
    usage: PeerDriver NAME w1 DIR CORPUS N BATCH none|batch [KILL_AT]
           PeerDriver NAME w2|w3|w5 DIR CORPUS N
           PeerDriver NAME w4 DIR
      NAME   millrace (LZ4), millrace-zstd (batches of 128 KiB), millrace-none or
             millrace-owned (LZ4, owned events)
      w1     append N events in groups of BATCH, each on disk before the next (batch) or all at
             the end (none); with KILL_AT die after so many
      w2     replay, w3  seek and read 100, w4  messages to devices, w5  open what a kill left

    What tools/bench measures beside these:
           PeerDriver corpus FILE N DEVICES
           PeerDriver NAME w3 DIR CORPUS N SEEKS
           PeerDriver NAME producers DIR CORPUS N THREADS
           PeerDriver NAME inflight DIR CORPUS N GROUPS
           PeerDriver NAME growth DIR CORPUS N PARTITIONS THREADS
      producers   threads that wait for every event of theirs to be durable
      inflight    groups of 1,000, so many of them on their way to the disk
      growth      append, open, replay and seek with partitions and threads

    """

  let directory: String
  let form: AppendForm
  var configuration: EventStore.Configuration

  static func main() async throws {
    var words = Array(CommandLine.arguments.dropFirst())
    if words.count == 4, words[0] == "corpus", let count = Int(words[2]),
      let devices = Int(words[3])
    {
      return try RecordFile.write(words[1], count: count, deviceCount: devices)
    }
    guard words.count >= 3, let setting = settings[words[0]] else { fail(usage) }
    let driver = PeerDriver(
      directory: words[2], form: setting.form,
      // One partition: a total order, as its peers keep.
      configuration: .init(
        partitionCount: 1, compression: setting.codec, batchSize: setting.batchSize))
    let workload = words[1]
    words.removeFirst(3)
    guard try await driver.run(workload, words) else { fail(usage) }
  }

  private struct Setting {
    var codec = CompressionCodec.lz4
    var form = AppendForm.borrowed
    var batchSize = ByteCount.kibibytes(64)
  }

  private static let settings = [
    "millrace": Setting(),
    // Who chooses zstd wants the store small: larger batches than usual are smaller by a fortieth.
    "millrace-zstd": Setting(codec: .zstd, batchSize: .kibibytes(128)),
    "millrace-none": Setting(codec: .none), "millrace-owned": Setting(form: .owned),
  ]

  /// Returns false where the words make no sense.
  private func run(_ workload: String, _ words: [String]) async throws -> Bool {
    if workload == "w4" {
      try await queues()
      return words.isEmpty
    }
    guard words.count >= 2, let count = Int(words[1]) else { return false }
    let corpus = words[0]
    let third = words.count > 2 ? Int(words[2]) : nil
    switch (workload, third) {
    case ("w1", let size?) where words.count > 3 && ["none", "batch"].contains(words[3]):
      try await append(
        try RecordFile(corpus, limit: count), groupSize: size, syncsGroups: words[3] == "batch",
        killAt: words.count > 4 ? Int(words[4]) : nil)
    case ("w2", nil): try await replay(corpus, count: count)
    case ("w3", let seeks): try await seek(corpus, count: count, operations: seeks ?? 20_000)
    case ("w5", nil): try await recover(corpus, count: count)
    case ("producers", let threads?):
      try await produce(try RecordFile(corpus, limit: count), threadCount: threads)
    case ("inflight", let depth?):
      try await appendAhead(try RecordFile(corpus, limit: count), depth: depth)
    case ("growth", let partitions?) where words.count == 4:
      try await grow(
        try RecordFile(corpus, limit: count), partitionCount: partitions,
        threadCount: Int(words[3]) ?? 1)
    default: return false
    }
    return true
  }

  private static func fail(_ text: String) -> Never {
    FileHandle.standardError.write(Data(text.utf8))
    exit(64)
  }

  func open(_ access: EventStore.Access) async throws -> EventStore {
    try await EventStore.open(at: directory, configuration: configuration, access: access)
  }
}

/// Ends the program where what was measured is not what was asked for.
func check(_ holds: Bool, _ problem: @autoclosure () -> String) {
  guard holds else {
    FileHandle.standardError.write(Data("wrong result: \(problem())\n".utf8))
    exit(2)
  }
}
