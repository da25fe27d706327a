package import EventModel
package import LogFormat

/// How a reader goes on where bytes are damaged, and what it says is missing.
extension BatchCursor {
  /// When the records of a damaged batch were enqueued: its first one's time stands in the header,
  /// the last one's in the clear section, and the next batch is no earlier.
  func times(
    of frame: ScannedFrame, span: UInt64?, end: Int
  ) throws(CommitLogFailure) -> ClosedRange<Timestamp>? {
    let first = frame.header.baseTime
    var last: Timestamp?
    if let span {
      last = Timestamp(microseconds: first.microseconds &+ Int64(bitPattern: span))
    } else if let next = try header(at: frame.end, end: end),
      next.header.type == FrameHeader.FrameType.batch
    {
      last = next.header.baseTime
    }
    guard let last, first <= last else { return nil }
    return first...last
  }

  /// The devices and the time span of a batch whose body is damaged, if its clear section is not.
  static func clear(
    _ clear: RawSpan, _ header: FrameHeader, seed: UInt32
  ) -> (devices: [DeviceID], span: UInt64)? {
    guard CRC32C.checksum(clear, seed: seed) == header.clearChecksum else { return nil }
    do throws(FormatError) {
      let section = try BatchClearSection(decoding: clear, header: header)
      let devices = try BatchClearSection.devices(clear, count: section.deviceCount)
      return (devices, section.timeSpan)
    } catch {
      return nil
    }
  }

  /// Looks for the next sound frame behind damage.
  func resynchronize(
    _ stretch: Stretch, in snapshot: LogSnapshot
  ) throws(CommitLogFailure) -> CursorItem? {
    let end = stretch.end
    let reach = window?.reach(end) ?? end
    while position + FrameHeader.size <= reach {
      position += FrameHeader.alignment
      guard let frame = try currentFrame(end: end),
        frame.header.baseNumber >= next || frame.header.nextNumber > next
      else { continue }
      // Numbers that go on without a break, or a batch that holds the next one in its middle: what
      // was damaged held no events that were asked for.
      guard frame.header.baseNumber > next else { return nil }
      return .gap(gap(before: frame, in: snapshot))
    }
    return endSegment(stretch, in: snapshot)
  }

  /// Goes on in the next segment; what this one should still have held is missing.
  func endSegment(_ stretch: Stretch, in snapshot: LogSnapshot) -> CursorItem? {
    let reason: Gap.Reason = window?.isMissing == true ? .missingSegment : .damaged
    guard next < stretch.limit else { return nil }
    var times: ClosedRange<Timestamp>?
    if let summary = stretch.segment.summary, summary.recordCount > 0 {
      let first = max(lastTime ?? summary.firstTime, summary.firstTime)
      if first <= summary.lastTime { times = first...summary.lastTime }
    }
    return .gap(gap(upTo: stretch.limit, in: snapshot, otherwise: reason, times: times))
  }

  /// The loss before a sound frame.
  ///
  /// A batch tells when it was enqueued, other frames only when they were made.
  func gap(before frame: ScannedFrame, in snapshot: LogSnapshot) -> Gap {
    let header = frame.header
    var times: ClosedRange<Timestamp>?
    if header.type == FrameHeader.FrameType.batch, let lastTime, lastTime <= header.baseTime {
      times = lastTime...header.baseTime
    }
    return gap(upTo: header.baseNumber, in: snapshot, otherwise: .damaged, times: times)
  }

  /// The loss from the next number up to `end`, as it was recorded or as it looks, and moves on.
  func gap(
    upTo end: UInt64, in snapshot: LogSnapshot, otherwise reason: Gap.Reason,
    devices: [DeviceID]? = nil, times known: ClosedRange<Timestamp>? = nil
  ) -> Gap {
    let first = next
    next = end
    let recorded = snapshot.gaps.first { $0.first <= first && end <= $0.next }
    var times = known
    if let recorded, recorded.from <= recorded.to { times = recorded.from...recorded.to }
    return Gap(
      partition: snapshot.log.partitionID, first: Offset(first),
      next: Offset(end), reason: recorded?.reason.publicReason ?? reason, devices: devices,
      times: times)
  }
}

extension ManifestEdit.GapReason {
  package var publicReason: Gap.Reason {
    switch self {
    case .damaged: .damaged
    case .lostSuffix: .lostSuffix
    case .missingSegment: .missingSegment
    }
  }
}
