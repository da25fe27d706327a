internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

/// Tells one file to a visitor of ``StoreInspector``.
struct FileWalk {
  let path: FilePath
  let name: String
  let fileSystem: any FileSystem
  let contents: FrameContents

  typealias Visitor = (InspectedItem) -> WalkStep

  private func open(_ visit: Visitor) -> InspectedSource? {
    do throws(IOFailure) {
      return try InspectedSource(path, name: name, fileSystem: fileSystem)
    } catch {
      let kind = error.isMissing ? DamageKind.missingFile : .unreadable
      _ = visit(.damage(Damage(kind, file: name, detail: "\(error)")))
      return nil
    }
  }

  /// Tells the file and what is wrong with its header.
  ///
  /// Nil when the visitor wants no more.
  private func begin(
    _ source: InspectedSource, fallback: FileHeader?, _ visit: Visitor
  ) -> FileHeader?? {
    let reading = FileHeaderReading(source)
    // The manifest's word counts where the file's own is damaged, never where it is of a later
    // version.
    var header = reading.header
    if case .damaged = reading { header = fallback }
    let file = InspectedFile(name: name, size: source.size, header: header)
    guard visit(.file(file)) == .goOn else { return nil }
    if let damage = reading.damage, visit(.damage(damage)) == .stop { return nil }
    return .some(header)
  }

  private func end(_ source: InspectedSource, _ visit: Visitor) -> WalkStep {
    source.damage.map { visit(.damage($0)) } ?? .goOn
  }

  /// Tells a segment's frames and records.
  func segment(
    expected: FileHeader?, evidence: UInt64, isSealed: Bool, _ visit: Visitor
  ) -> WalkStep {
    guard let source = open(visit) else { return .goOn }
    guard let begun = begin(source, fallback: expected, visit) else { return .stop }
    guard let header = begun else { return end(source, visit) }
    let walk = SegmentWalk(
      source: source, header: header, evidence: evidence, contents: contents, isSealed: isSealed,
      records: RecordCheck())
    let outcome = walk.run { item in
      switch item {
      case .damage(let damage): return visit(.damage(damage))
      case .frame(let frame, let batch):
        guard visit(.frame(frame)) == .goOn else { return .stop }
        return batch.map { records(of: $0, header, visit) } ?? .goOn
      }
    }
    return outcome.isStopped ? .stop : end(source, visit)
  }

  private func records(
    of batch: FrameContents.Batch, _ header: FileHeader, _ visit: Visitor
  ) -> WalkStep {
    for index in 0..<batch.decoded.count {
      let record = InspectedRecord(
        file: name, kind: header.kind, stream: header.stream, partition: header.partition,
        batch: batch.decoded,
        index: index)
      guard visit(.record(record)) == .goOn else { return .stop }
    }
    return .goOn
  }

  /// Tells the frames of a file and the entries in them.
  func entries<Entry: Hashable & Sendable>(
    _ kind: FileHeader.Kind, type: UInt8, damageKind: DamageKind, _ visit: Visitor,
    decode: @escaping (RawSpan, Int) throws(FormatError) -> [Entry],
    item: (InspectedEntry<Entry>) -> InspectedItem
  ) -> WalkStep {
    guard let source = open(visit) else { return .goOn }
    guard let begun = begin(source, fallback: nil, visit) else { return .stop }
    guard let header = begun else { return end(source, visit) }
    let walk = EntryLogWalk<Entry>(
      source: source, header: header, contents: contents, entryType: type,
      damageKind: damageKind, decode: decode)
    let outcome = walk.run { step in
      switch step {
      case .frame(let frame): visit(.frame(frame))
      case .entry(let entry): visit(item(entry))
      case .damage(let damage): visit(.damage(damage))
      }
    }
    return outcome.isStopped ? .stop : end(source, visit)
  }

  /// Tells the batches and devices of a segment's footer.
  func footer(_ visit: Visitor) -> WalkStep {
    guard let source = open(visit) else { return .goOn }
    guard let begun = begin(source, fallback: nil, visit) else { return .stop }
    guard let header = begun else { return end(source, visit) }
    let reading: FooterReading
    do throws(FormatError) {
      reading = try FooterReading(source, identity: header.identity)
    } catch {
      return visit(
        .damage(
          Damage(
            .badIndex, file: name, position: SegmentFooter.position.bytes, detail: "\(error)")))
    }
    if let damage = reading.damage,
      visit(
        .damage(
          Damage(.badIndex, file: name, position: reading.position(ofBatch: 0), detail: damage)))
        == .stop
    {
      return .stop
    }
    for place in 0..<reading.footer.batchCount {
      guard let batch = reading.batch(at: place) else { break }
      let entry = InspectedEntry(
        file: name, position: reading.position(ofBatch: place), number: UInt64(place),
        entry: batch)
      guard visit(.footerBatch(entry)) == .goOn else { return .stop }
    }
    for place in 0..<reading.footer.deviceCount {
      guard let device = reading.device(at: place) else { break }
      let entry = InspectedEntry(
        file: name, position: reading.position(ofDevice: place), number: UInt64(place),
        entry: device)
      guard visit(.footerDevice(entry)) == .goOn else { return .stop }
    }
    return end(source, visit)
  }

  /// Tells the entries of an index.
  func index(_ visit: Visitor) -> WalkStep {
    guard let source = open(visit) else { return .goOn }
    guard let begun = begin(source, fallback: nil, visit) else { return .stop }
    guard let header = begun else { return end(source, visit) }
    var cursor = IndexCursor(source, identity: header.identity)
    var number: UInt64 = 0
    while let found = cursor.next() {
      let item: InspectedItem =
        if let entry = found.entry {
          .indexEntry(
            InspectedEntry(file: name, position: found.position, number: number, entry: entry))
        } else {
          .damage(
            Damage(
              .badIndex, file: name, position: found.position,
              detail: "the entry's checksum does not hold"))
        }
      guard visit(item) == .goOn else { return .stop }
      number += 1
    }
    return end(source, visit)
  }
}
