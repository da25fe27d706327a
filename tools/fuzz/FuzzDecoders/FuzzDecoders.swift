import FuzzHarness

/// Every decoder of the format, each with inputs of its own.
@main
enum FuzzDecoders {
  static func main() throws {
    try Fuzzing.run([
      Canary.target, Frames.target, Batches.target, Headers.target, Entries.manifest,
      Entries.checkpoints, QueueRecords.journal, QueueRecords.outcomes, QueueRecords.filed,
      Derived.index, Derived.footer,
    ])
  }
}
