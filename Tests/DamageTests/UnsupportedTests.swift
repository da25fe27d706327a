import CommitLog
import EventModel
import LogFormat
import LogInspection
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// What a later program writes is unsupported, never damaged: nothing is cut, moved or repaired.
@Suite("Files of a later program")
struct UnsupportedTests {
  enum Feature: CaseIterable {
    case incompatible, readOnlyCompatible, compatible, frameType
  }

  enum File: CaseIterable {
    case manifest, segment, checkpoints

    func path(in store: CanonicalStore) throws -> FilePath {
      switch self {
      case .manifest: CanonicalStore.root.appending(FileNames.manifest)
      case .checkpoints: CanonicalStore.root.appending(FileNames.checkpoints)
      case .segment:
        try #require(
          store.files.keys.filter { $0.extension == "segment" }.max { $0.string < $1.string })
      }
    }
  }

  @Test(
    "Neither a reader nor a writer goes further than the feature allows",
    arguments: Feature.allCases, File.allCases)
  func refusals(_ feature: Feature, _ file: File) throws {
    let store = try CanonicalStore(.killedIdle)
    let path = try file.path(in: store)
    let bytes = try #require(store.files[path])
    let later = store.replacing(path, by: try changed(bytes, feature))
    let writing = later.fileSystem
    let reading = later.fileSystem
    if feature == .compatible {
      _ = try Engine.read(try Engine.open(writing, seed: 1))
    } else {
      #expect(try isRefused(path) { _ = try Engine.open(writing, seed: 1).committer() })
      #expect(writing.image[path] == later.files[path], "a writer has changed the file")
    }
    if feature == .compatible || feature == .readOnlyCompatible {
      let seen = try Engine.readOnly(reading)
      #expect(seen.events.map(\.count) == store.acknowledged)
      #expect(seen.lost == [[], []])
    } else {
      #expect(try isRefused(path) { _ = try Engine.readOnly(reading) })
    }
    #expect(reading.image == later.files, "a reader has written")
  }

  @Test(
    "What is unsupported is told with its place, whatever stands behind it",
    arguments: File.allCases)
  func place(_ file: File) throws {
    let store = try CanonicalStore(.killedIdle)
    let path = try file.path(in: store)
    let bytes = try #require(store.files[path])
    let header = try FileHeader(decoding: bytes.span.bytes)
    var scanner = FrameScanner(Bytes(bytes: bytes), identity: header.identity)
    let frames = scanner.scan(from: FileHeader.size).frames
    let first = try #require(frames.first)
    try #require(frames.count > 1)
    var changed = bytes
    // An unknown codec, and the header's checksum over it.
    changed[first.position + 9] = 9
    for index in 4..<8 { changed[first.position + index] = 0 }
    let range = first.position..<first.position + FrameHeader.size
    let seed = header.identity.seed(at: FilePosition(first.position))
    let sum = CRC32C.checksum(Array(changed[range]).span.bytes, seed: seed)
    for index in 0..<4 {
      changed[first.position + 4 + index] = UInt8(truncatingIfNeeded: sum >> (8 * index))
    }
    let disk = store.replacing(path, by: changed).fileSystem
    #expect(
      try placeOfRefusal(path) { _ = try Engine.open(disk, seed: 1).committer() }
        == first.position)
    let found = try Fsck.check(CanonicalStore.root, fileSystem: disk)
    let places = found.findings.filter { $0.kind == .unsupported }.map(\.position)
    #expect(places == [first.position])
  }

  private func isRefused(_ path: FilePath, _ body: () throws -> Void) throws -> Bool {
    try placeOfRefusal(path, body) != nil
  }

  private func placeOfRefusal(_ path: FilePath, _ body: () throws -> Void) throws -> Int? {
    do {
      try body()
      return nil
    } catch CommitLogFailure.format(let file, let position, .unsupportedFeatures) {
      return file == path ? position : nil
    }
  }

  private func changed(_ bytes: [UInt8], _ feature: Feature) throws -> [UInt8] {
    var header = try FileHeader(decoding: bytes.span.bytes)
    var buffer = ByteBuffer()
    switch feature {
    case .incompatible: header.incompatibleFlags = 1
    case .readOnlyCompatible: header.readOnlyCompatibleFlags = 1
    case .compatible: header.compatibleFlags = 1
    case .frameType: return bytes + frame(of: 7, behind: bytes, header)
    }
    header.encode(into: &buffer)
    return buffer.array(0..<buffer.count) + bytes[FileHeader.size...]
  }

  /// A sound frame of an unknown type, as the log goes on.
  private func frame(of type: UInt8, behind bytes: [UInt8], _ file: FileHeader) -> [UInt8] {
    var scanner = FrameScanner(Bytes(bytes: bytes), identity: file.identity)
    let last = scanner.scan(from: FileHeader.size).frames.last
    var buffer = ByteBuffer()
    let header = FrameHeader(
      type: type, epoch: last?.header.epoch ?? 0, recordCount: 0,
      baseNumber: last?.header.nextNumber ?? 0, baseTime: file.created,
      watermark: last?.header.nextNumber ?? 0, chain: last?.checksum ?? file.chain)
    _ = FrameAssembly.append(
      header, body: ByteBuffer(), to: &buffer, identity: file.identity,
      position: FilePosition(bytes.count))
    return buffer.array(0..<buffer.count)
  }
}

private struct Bytes: FrameSource {
  let bytes: [UInt8]

  var size: Int { bytes.count }

  func read(at position: Int, into buffer: inout MutableRawSpan) -> Int {
    let count = max(0, min(buffer.byteCount, bytes.count - position))
    for index in 0..<count {
      buffer.storeBytes(of: bytes[position + index], toByteOffset: index, as: UInt8.self)
    }
    return count
  }
}
