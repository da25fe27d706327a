import EventModel
import Foundation
import LogFormat
import LogInspection
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// What the sweeps flip bits of: that it is enough, and that no kind of file is missing.
@Suite("The stores that are damaged on purpose")
struct CanonicalSetTests {
  private static let sizeMin = 256 << 10

  private struct Contents {
    var size = 0
    var kinds: Set<FileHeader.Kind> = []
    var streams: Set<FileHeader.Stream> = []
    /// Codec and state of every segment of events that has a batch.
    var segments: Set<String> = []

    mutating func add(
      _ files: [FilePath: [UInt8]], root: FilePath, _ fileSystem: MemoryFileSystem
    ) throws {
      size += files.reduce(0) { $0 + $1.value.count }
      var sealed: Set<UInt64> = []
      var header: FileHeader?
      try StoreInspector(root, fileSystem: fileSystem).walk { item in
        switch item {
        case .manifestEdit(let edit):
          if case .segmentSealed(let segment) = edit.entry { sealed.insert(segment.segmentID) }
        case .file(let file):
          header = file.header
          if let kind = header?.kind { kinds.insert(kind) }
          if let stream = header?.stream { streams.insert(stream) }
        case .frame(let frame) where frame.header.type == FrameHeader.FrameType.batch:
          guard let header, header.kind == .segment, header.stream == .events else { break }
          let state = sealed.contains(header.fileID) ? "sealed" : "active"
          segments.insert("\(state) \(frame.header.codec)")
        default: break
        }
        return .goOn
      }
    }
  }

  @Test("They are large enough, hold every kind of file, and segments of every codec, all told")
  func everything() async throws {
    var contents = Contents()
    for variant in DamageScope.variants {
      for ending in CanonicalStore.Ending.allCases {
        let store = try CanonicalStore(ending, variant: variant)
        try contents.add(store.files, root: CanonicalStore.root, store.fileSystem)
      }
    }
    for ending in QueueStore.Ending.allCases {
      let store = try await QueueStore(ending)
      try contents.add(store.queueFiles, root: QueueStore.root, store.fileSystem)
    }
    print("counted: \(contents.size) bytes of canonical stores")
    fflush(nil)
    #expect(contents.streams == Set(FileHeader.Stream.allCases))
    guard DamageScope.isWhole else { return }
    #expect(contents.size >= Self.sizeMin)
    #expect(contents.kinds == Set(FileHeader.Kind.allCases))
    #expect(contents.segments.count == 2 * CompressionCodec.allCases.count)
  }
}
