import ArgumentParser
import CommandSupport
import Logging
import Millrace

/// What a store is made with: the options of `init`, and of `ingest` where there is no store yet.
struct StoreOptions: ParsableArguments {
  @Option(help: "Partitions of the store, fixed for ever. (default: 4)")
  var partitions: Int?

  @Option(
    help: ArgumentHelp("How batches are compressed: none, lz4 or zstd. (default: lz4)"),
    transform: CodecName.parsed)
  var codec: CodecName?

  @Option(
    help: "Size at which a segment is sealed, such as 64MiB. (default: 128MiB)",
    transform: ByteSize.parsed)
  var segmentSize: ByteSize?

  @Option(
    help: "Age after which events may be dropped, such as 7d. (default: never)",
    transform: DurationText.parsed)
  var retentionAge: DurationText?

  @Option(
    help: "Size of the store above which the oldest events may be dropped. (default: none)",
    transform: ByteSize.parsed)
  var retentionSize: ByteSize?

  func validate() throws {
    if let partitions, !(1...Limits.partitionCountMax).contains(partitions) {
      throw ValidationError(
        "--partitions is \(partitions), it must be from 1 to \(Limits.partitionCountMax)")
    }
    let segmentSizes = Limits.segmentSizeMin...Limits.segmentSizeMax
    if let segmentSize, !segmentSizes.contains(segmentSize.byteCount.bytes) {
      throw ValidationError(
        "--segment-size is \(segmentSize.byteCount.bytes) bytes, it must be from "
          + "\(segmentSizes.lowerBound) to \(segmentSizes.upperBound)")
    }
    if let retentionAge, retentionAge.duration <= .zero {
      throw ValidationError("--retention-age must be more than nothing")
    }
    if let retentionSize, retentionSize.byteCount <= .zero {
      throw ValidationError("--retention-size must be more than nothing")
    }
  }

  /// The configuration that the options ask for.
  var configuration: EventStore.Configuration {
    var configuration = EventStore.Configuration.command
    if let partitions { configuration.partitionCount = partitions }
    if let segmentSize { configuration.segmentSize = segmentSize.byteCount }
    configuration.compression = codec?.codec
    configuration.retention = EventStore.Retention(
      age: retentionAge?.duration, size: retentionSize?.byteCount)
    return configuration
  }
}

extension EventStore.Configuration {
  /// The defaults, without a log: the command says what there is to say in its own words.
  static var command: Self {
    Self(logger: Logger(label: "millrace") { _ in SwiftLogNoOpLogHandler() })
  }
}
