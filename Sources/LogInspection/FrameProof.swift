internal import EventModel
internal import LogFormat

/// Proves frames wherever they stand: by checksums of three kinds under one seed that the frame's
/// own header gives, without a file header.
///
/// One file at a time; its buffers are reused.
final class FrameProof {
  /// What 64 bytes with a frame's magic number say of the bytes behind them.
  struct Claim {
    let frame: ScannedFrame
    /// What the frame's checksums are seeded with.
    let seed: UInt32

    /// The bytes to be checked, of those that are there.
    func size(in source: InspectedSource) -> Int {
      min(frame.bodyRange.upperBound, source.size) - frame.position
    }

    /// - Returns: nil when no frame ever had such a header.
    init?(_ bytes: RawSpan, at position: Int) {
      do throws(FormatError) {
        seed = try FrameHeader.seed(of: bytes)
        guard let (header, checksum) = try FrameHeader.decode(bytes, at: 0, seed: seed) else {
          return nil
        }
        frame = ScannedFrame(position: position, header: header, checksum: checksum)
      } catch {
        return nil
      }
    }
  }

  enum Verdict {
    /// A frame of events or of the queues' records, as it was written.
    case batch(FrameContents.Batch, isHealed: Bool)
    case edits([ManifestEdit])
    /// A frame that holds what this program does not know.
    case unsupported
    /// Certainly a frame, and not what it was.
    case damaged
    /// Nothing that salvage is after.
    case none
  }

  private let contents = FrameContents()

  func judge(_ claim: Claim, _ source: InspectedSource) -> Verdict {
    let identity = FrameIdentity(seed: claim.seed, at: FilePosition(claim.frame.position))
    guard claim.frame.bodyRange.upperBound <= source.size else {
      return contents.clearSection(claim.frame, source, identity) == nil ? .none : .damaged
    }
    switch claim.frame.header.type {
    case FrameHeader.FrameType.batch: return judge(batch: claim.frame, source, identity)
    case FrameHeader.FrameType.manifestEdits
    where claim.frame.header.clearSize == 0 && claim.frame.header.clearChecksum == claim.seed:
      return judge(edits: claim.frame, source, identity)
    default: return .none
    }
  }

  private func judge(
    batch frame: ScannedFrame, _ source: InspectedSource, _ identity: FrameIdentity
  ) -> Verdict {
    do throws(FormatError) {
      return .batch(try contents.batch(frame, source, identity), isHealed: false)
    } catch .corrupt {
      return heal(frame, source, identity)
    } catch {
      return .unsupported
    }
  }

  private func judge(
    edits frame: ScannedFrame, _ source: InspectedSource, _ identity: FrameIdentity
  ) -> Verdict {
    do throws(FormatError) {
      return .edits(
        try contents.withBody(frame, source, identity) { (body) throws(FormatError) in
          try ManifestEdit.decodeAll(body, count: Int(frame.header.recordCount))
        })
    } catch {
      return .none
    }
  }

  /// Looks for the one flipped bit that explains why a batch does not hold.
  private func heal(
    _ frame: ScannedFrame, _ source: InspectedSource, _ identity: FrameIdentity
  ) -> Verdict {
    let healing = TailHealing(
      SourcePiece(source: source, size: source.size), identity: identity
    ) { [contents] header, clear, body in
      contents.contentHolds(header, clear: clear, body: body)
    }
    // The frame follows itself, so to speak: nothing is known of what came before it.
    let place = RecoveryRule.Start(
      position: frame.position, chain: frame.header.chain, nextNumber: frame.header.baseNumber,
      epoch: frame.header.epoch)
    if let repair = healing.repair(at: place) {
      source.repairs = [repair]
      defer { source.repairs = [] }
      do throws(FormatError) {
        return .batch(try contents.batch(frame, source, identity), isHealed: true)
      } catch {
        return .damaged
      }
    }
    return contents.isPartlyIntact(frame, source, identity) ? .damaged : .none
  }
}
