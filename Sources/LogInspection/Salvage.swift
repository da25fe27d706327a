internal import EventModel
internal import LogFormat
package import StorageIO
package import SystemPackage

/// Finds every whole frame of events in any bytes: a broken store, a segment without its header,
/// the image of a disk, a heap of files.
///
/// Nothing outside a frame is needed to prove it. What is known of a file, from its header or from
/// a manifest, only tells events from the records of the queues; where nothing is known, what a
/// batch holds does. No watermark is asked: what was written and never acknowledged is found too,
/// and what retention dropped and the disk still has. Memory: 40 bytes for each frame and a path
/// for each file, one batch while searching, ``Limits/salvageMemoryMax`` while reading. Reads only.
package struct Salvage: Sendable {
  package struct Counts: Hashable, Sendable {
    package var files = 0
    package var bytes = 0
    /// Whole frames of events, each as often as it was found.
    package var frames = 0
    /// Those in which one flipped bit was set right.
    package var healed = 0
    /// Whole frames that hold no events: of queues, feedback, dead letters or a later version.
    package var left = 0
    /// Frames of which not enough is left.
    package var damaged = 0
    /// Files and folders of which a part could not be read.
    package var unreadable = 0
  }

  package private(set) var counts = Counts()
  /// Partitions of the store, or of the largest if there are several; nil if nothing tells.
  package private(set) var partitionCount: Int?
  let fileSystem: any FileSystem
  private(set) var paths: [FilePath] = []
  /// In the order of their times, then of their numbers.
  private(set) var frames: [Frame] = []
  /// By the base of a file's checksums whether it holds events.
  private var origins: [UInt32: Bool] = [:]
  /// Stores by the base of their manifest's checksums.
  private var stores: [UInt32: StoreID] = [:]

  /// A frame of events, and what puts it in its order.
  struct Frame {
    let time: Timestamp
    let number: UInt64
    let position: Int
    let file: UInt32
    let base: UInt32
    /// Whether it would be one of the queues if nothing were known of its file.
    let readsAsQueueRecords: Bool
  }

  /// Searches a file, or every file in a folder and the folders in it; follows no links there.
  ///
  /// - Parameters:
  ///   - path: the file or folder.
  ///   - fileSystem: where it is.
  ///   - progress: hears now and then how many bytes were searched.
  /// - Throws: when there is nothing at the path or it cannot be opened.
  package init(
    _ path: FilePath, fileSystem: any FileSystem, progress: (Int) -> Void = { _ in }
  ) throws(InspectionFailure) {
    self.fileSystem = fileSystem
    let isThere: Bool
    do throws(IOFailure) {
      isThere = try gather(path)
    } catch {
      throw .unreadable(error)
    }
    guard isThere else { throw .missing(path) }
    let proof = FrameProof()
    for index in paths.indices { search(index, proof, progress) }
    let found = frames.count
    frames.removeAll { frame in
      let holdsEvents = origins[frame.base] ?? !frame.readsAsQueueRecords
      return !holdsEvents
    }
    counts.frames = frames.count
    counts.left += found - frames.count
    frames.sort {
      ($0.time, $0.number, $0.file, $0.position) < ($1.time, $1.number, $1.file, $1.position)
    }
  }

  /// Notes the files at a path, those of a folder in the order of their names.
  ///
  /// - Returns: whether there is anything.
  private mutating func gather(_ path: FilePath) throws(IOFailure) -> Bool {
    switch try fileSystem.kind(of: path) {
    case nil: return false
    // A link to a folder is looked through here and nowhere below.
    case .other where try fileSystem.kind(of: path.appending(".")) != .directory, .file:
      _ = try fileSystem.open(path, .readOnly)
      paths = [path]
    case .directory, .other:
      var folders = [path]
      while let folder = folders.popLast() {
        do throws(IOFailure) {
          let entries = try fileSystem.list(folder)
          paths += entries.filter { $0.kind == .file }.map { folder.appending($0.name) }
          folders += entries.filter { $0.kind == .directory }.map { folder.appending($0.name) }
            .reversed()
        } catch {
          guard folder != path else { throw error }
          counts.unreadable += 1
        }
      }
    }
    return true
  }

  private mutating func search(_ index: Int, _ proof: FrameProof, _ progress: (Int) -> Void) {
    let source: InspectedSource
    do throws(IOFailure) {
      source = try InspectedSource(
        paths[index], name: paths[index].string, fileSystem: fileSystem)
    } catch {
      counts.unreadable += 1
      return
    }
    let before = counts.bytes
    var scan = SalvageScan(source, proof)
    scan.run(
      { add($0, file: UInt32(index)) },
      progress: {
        counts.bytes = before + $0
        progress(counts.bytes)
      })
    counts.files += 1
    if source.failure != nil { counts.unreadable += 1 }
  }

  private mutating func add(_ found: SalvageScan.Found, file: UInt32) {
    switch found {
    case .header(let header): add(header)
    case .edits(let edits, let base): add(edits, storeID: stores[base])
    case .unsupported: counts.left += 1
    case .damaged: counts.damaged += 1
    case .batch(let frame, let batch, let base, let isHealed):
      if isHealed { counts.healed += 1 }
      frames.append(
        Frame(
          time: frame.header.baseTime, number: frame.header.baseNumber, position: frame.position,
          file: file, base: base,
          readsAsQueueRecords: batch.decoded.readsAsQueueRecords(frame.header)))
    }
  }

  private mutating func add(_ header: FileHeader) {
    // An index and a footer repeat the header of their segment.
    let isOfEvents =
      header.stream == .events && header.kind != .manifest && header.kind != .checkpoints
    origins[header.identity.base] = isOfEvents
    if header.kind == .manifest { stores[header.identity.base] = header.storeID }
    if isOfEvents { addPartitions(Int(header.partition) + 1) }
  }

  /// Notes what a manifest says, above all of segments whose own headers may be lost.
  private mutating func add(_ edits: [ManifestEdit], storeID: StoreID?) {
    for edit in edits {
      switch edit {
      case .identity(let identity): addPartitions(Int(identity.partitionCount))
      case .segmentAdded(let added):
        if let storeID { add(added.header(storeID: storeID)) }
      case .segmentReplaced(let replaced):
        if let storeID { add(replaced.added.header(storeID: storeID)) }
      default: continue
      }
    }
  }

  private mutating func addPartitions(_ count: Int) {
    guard count <= Limits.partitionCountMax else { return }
    partitionCount = max(partitionCount ?? 1, count)
  }
}
