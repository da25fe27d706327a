internal import CommitLog

/// How settling keeps step with what gives space back, on a full disk.
extension QueueFiling {
  /// Whether the journal has space for one more record; false where ``makeSpace(_:)`` has to be
  /// asked for it.
  ///
  /// On a full disk settling does not outrun the thread: all of the reserve would be used up before
  /// what was settled has given any of its space back.
  func hasSpace(in journal: PartitionWriter) -> Bool { space(in: journal) == .isThere }

  private func space(in journal: PartitionWriter) -> FilingThread.Space {
    guard journal.isShort else { return .isThere }
    return thread.space(
      journal.spareSize, of: log.context.settings.journalReserveSize)
  }

  /// Blocks until the space of what is settled so far is given back.
  ///
  /// - Throws: ``EventStoreError`` with `storageFull` where there is no more to be had.
  func makeSpace(_ core: QueueCore) throws(EventStoreError) {
    switch space(in: core.journal) {
    case .isThere: return
    case .comesWithWork: thread.waitForWork()
    case .isUsedUp:
      _ = try core.takeReserve()
      thread.note(left: core.journal.spareSize)
      guard space(in: core.journal) == .isUsedUp else { return }
      throw EventStoreError(
        .storageFull,
        "the disk is full, and what the queues keep in reserve for settling messages is used up; "
          + "free some space")
    }
  }
}
