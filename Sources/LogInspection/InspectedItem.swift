package import EventModel
package import LogFormat

/// What a walk over a store's files meets, in the order of the files.
package enum InspectedItem {
  case file(InspectedFile)
  case frame(InspectedFrame)
  case record(InspectedRecord)
  case manifestEdit(InspectedEntry<ManifestEdit>)
  case checkpointEntry(InspectedEntry<CheckpointEntry>)
  case indexEntry(InspectedEntry<IndexEntry>)
  case footerBatch(InspectedEntry<FooterBatch>)
  case footerDevice(InspectedEntry<InspectedDevice>)
  case damage(Damage)
}

/// What a visitor wants next.
package enum WalkStep: Sendable {
  case goOn
  case stop
}

/// A file of a store, before what it holds.
package struct InspectedFile: Hashable, Sendable {
  /// The path inside the store, or the path that was given.
  package var name: String
  package var size: Int
  /// What the file was read as: its own header, or one made again from the manifest.
  package var header: FileHeader?
}

/// A frame whose header holds.
package struct InspectedFrame: Hashable, Sendable {
  package enum State: String, Hashable, Sendable {
    /// The frame is part of the log and everything in it holds.
    case ok
    /// The frame is part of the log; its sections or contents are not what they were.
    case bodyDamaged = "body-damaged"
    /// A type that this program does not know and may pass over.
    case ignorable
    /// Left over from before a cut.
    case stale
    /// Behind the end of the log: the next writer cuts it.
    case unproven
  }

  package var file: String
  package var frame: ScannedFrame
  package var state: State

  package var position: Int { frame.position }
  package var header: FrameHeader { frame.header }
}

/// An entry of a manifest, checkpoint file or index, and where it stands.
package struct InspectedEntry<Entry: Hashable & Sendable>: Hashable, Sendable {
  package var file: String
  /// Of the frame that holds it; of the entry itself in an index.
  package var position: Int
  /// Its number in its log; its place in an index.
  package var number: UInt64
  package var entry: Entry
}

/// One event of a batch.
package struct InspectedRecord: Sendable {
  package let file: String
  /// What kind of file the record is in.
  package let kind: FileHeader.Kind
  package let stream: FileHeader.Stream
  package let partition: UInt32
  package let batch: DecodedBatch
  package let index: Int

  package var sequenceNumber: UInt64 { batch.baseOffset &+ UInt64(index) }
  package var enqueuedTime: Timestamp { batch.time(at: index) }
  package var deviceID: String {
    batch.withDeviceID(at: index) { bytes in
      // SAFETY: the span keeps its bytes valid for the closure; the text is a copy.
      unsafe bytes.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
    }
  }
  package var properties: Properties { batch.properties(at: index) }
  package var systemProperties: SystemProperties { batch.systemProperties(at: index) }
  package var body: Payload { batch.withBody(at: index) { Payload(copying: $0) } }
}
