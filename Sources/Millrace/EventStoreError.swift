public import EventModel
internal import CommitLog
internal import ConsumerCheckpoints
internal import LogFormat
public import StorageIO

/// Why the store could not do what it was asked for.
///
/// The code tells what to do; the message tells it to people.
public struct EventStoreError: Error, Hashable, Sendable {
  /// What went wrong, as far as a program acts on it differently.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    /// The code's name.
    public let description: String

    private init(_ description: String) { self.description = description }

    /// The path holds no store.
    public static let notAStore = Self("notAStore")
    /// Something is at the path where a store should be created.
    public static let alreadyExists = Self("alreadyExists")
    /// Another process writes to the store.
    public static let locked = Self("locked")
    /// The operating system refuses access.
    public static let accessDenied = Self("accessDenied")
    /// The file system or the open store is read-only.
    public static let readOnly = Self("readOnly")
    /// The disk has no room.
    ///
    /// What was accepted before stays accepted and is written once there is room; reads and commits
    /// go on (I9).
    public static let storageFull = Self("storageFull")
    /// A sync or write failed while this call waited: its events, or its checkpoint, may or may not
    /// survive.
    ///
    /// The partition, or the file of the checkpoints, takes no writes until the store is opened
    /// again (I8).
    public static let outcomeUnknown = Self("outcomeUnknown")
    /// The partition, or the file of the checkpoints, stopped after an earlier failure; open the
    /// store again.
    public static let poisoned = Self("poisoned")
    /// Bytes are not what the format says.
    public static let corrupt = Self("corrupt")
    /// The files are sound and of a format that this program does not know.
    public static let unsupportedVersion = Self("unsupportedVersion")
    /// A value is larger than the store accepts.
    public static let limitExceeded = Self("limitExceeded")
    /// An argument is outside of what the store has.
    public static let invalidArgument = Self("invalidArgument")
    /// An event's own enqueue time lies more than a day ahead of the clock.
    public static let enqueueTimeAhead = Self("enqueueTimeAhead")
    /// No consumer group has this name.
    public static let unknownGroup = Self("unknownGroup")
    /// Another consumer took the partition over.
    public static let ownershipLost = Self("ownershipLost")
    /// The checkpoint lies beyond what is durable.
    public static let checkpointAhead = Self("checkpointAhead")
    /// As many messages wait for the device as may; the error's message says how many, and the
    /// limit.
    public static let queueFull = Self("queueFull")
    /// The lock on a message is lost: it ran out, the message was settled or expired, or the token
    /// is of another device or from before the store was opened.
    public static let lockLost = Self("lockLost")
    /// The store was closed.
    public static let closed = Self("closed")
    /// A call to the operating system failed.
    public static let ioFailure = Self("ioFailure")
  }

  /// What went wrong.
  public let code: Code
  /// What went wrong and what to do about it, in a sentence.
  public let message: String
  /// The call to the operating system that failed, if one did.
  public let cause: IOFailure?
  /// The event concerned, if one is.
  public let position: LogPosition?

  package init(
    _ code: Code, _ message: String, cause: IOFailure? = nil, position: LogPosition? = nil
  ) {
    self.code = code
    self.message = message
    self.cause = cause
    self.position = position
  }
}

extension EventStoreError: CustomStringConvertible {
  /// The message.
  public var description: String { message }
}

extension EventStoreError {
  init(_ failure: CommitLogFailure) {
    switch failure {
    case .io(let cause): self.init(cause)
    case .storageFull(let cause):
      self.init(
        .storageFull, "\(cause); free some space, what was accepted is kept", cause: cause)
    case .format(_, _, .unsupportedVersion), .format(_, _, .unsupportedFeatures):
      self.init(.unsupportedVersion, "\(failure); use a newer program")
    case .format: self.init(.corrupt, "\(failure); run `millrace fsck` on the store")
    case .notAStore: self.init(.notAStore, "\(failure); create one with `millrace init`")
    case .lostManifest:
      self.init(
        .notAStore, "\(failure); put it back, or `millrace fsck --repair` makes one from them")
    case .alreadyExists: self.init(.alreadyExists, "\(failure); choose an empty folder")
    case .locked: self.init(.locked, "\(failure); wait for it or stop it")
    case .missingFile:
      self.init(.corrupt, "\(failure); restore the file or run `millrace fsck` on the store")
    case .unreadable(let place):
      self.init(
        place.cause.isAccessDenied ? .accessDenied : .ioFailure,
        "\(failure); \(Self.remedy(for: place.cause))", cause: place.cause,
        position: LogPosition(partition: place.log.partitionID, offset: Offset(place.number)))
    case .poisoned(let cause):
      self.init(.poisoned, "\(failure); check the disk and open the store again", cause: cause)
    case .compression: self.init(.ioFailure, "\(failure)")
    case .closed: self.init(.closed, "the store is closed")
    }
  }

  init(_ cause: IOFailure) {
    if cause.isReadOnly {
      self.init(.readOnly, "\(cause); mount it writable or read only", cause: cause)
    } else if cause.isAccessDenied {
      self.init(.accessDenied, "\(cause); check owner and permissions", cause: cause)
    } else if cause.isStorageFull {
      self.init(.storageFull, "\(cause); free some space", cause: cause)
    } else {
      self.init(.ioFailure, "\(cause)", cause: cause)
    }
  }

  /// What to do about a file that cannot be read now.
  static func remedy(for cause: IOFailure) -> String {
    cause.isAccessDenied
      ? "check owner and permissions"
      : "check the disk, or copy the store without what the disk does not read and run `millrace "
        + "fsck --repair` on the copy"
  }

  init(_ failure: CheckpointFailure) {
    switch failure {
    case .io(let cause): self.init(cause)
    case .poisoned(let cause):
      self.init(.poisoned, "\(failure); check the disk and open the store again", cause: cause)
    case .format(let path, let position, let error):
      self.init(CommitLogFailure.format(path, position: position, error))
    }
  }

  /// The same failure as it looks to those who waited while it happened.
  var whileWaiting: EventStoreError {
    guard code == .poisoned else { return self }
    return EventStoreError(
      .outcomeUnknown,
      "\(cause.map { "\($0)" } ?? message); what was waited for may or may not survive: open the "
        + "store again and look", cause: cause, position: position)
  }

  static func limit(_ error: LimitExceeded) -> EventStoreError {
    EventStoreError(.limitExceeded, "\(error)")
  }

  static let isReadOnly = EventStoreError(
    .readOnly, "the store is open for reading only; open it for writing")

  static let isClosed = EventStoreError(.closed, "the store is closed")
}
