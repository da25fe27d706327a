public import EventModel
internal import LogFormat

/// One event of a batch: bytes are looked at where they lie, not copied.
///
/// Keeps its batch alive; cheap to pass around.
public struct EventView: Sendable {
  private let batch: DecodedBatch
  private let index: Int
  private let partitionID: PartitionID

  init(_ batch: DecodedBatch, index: Int, partition: PartitionID) {
    self.batch = batch
    self.index = index
    partitionID = partition
  }

  /// Where the event stands.
  public var position: LogPosition {
    LogPosition(
      partition: partitionID, offset: Offset(batch.baseOffset &+ UInt64(index)))
  }

  /// When it was accepted.
  public var enqueuedTime: Timestamp { batch.time(at: index) }

  /// The device that sent it.
  ///
  /// Makes an id; ``withDeviceID(_:)`` does not.
  public var deviceID: DeviceID { DeviceID(trusted: batch.deviceID(at: index)) }

  /// Gives the bytes of the device's id without copying them.
  @inlinable
  public func withDeviceID<Result, Failure: Error>(
    _ body: (RawSpan) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(deviceIDBytes)
  }

  /// The body's bytes, where they lie in the batch.
  public var body: RawSpan {
    @_lifetime(borrow self)
    get { batch.body(at: index) }
  }

  /// The number of the body's bytes.
  public var bodySize: Int { batch.bodySize(at: index) }

  /// The application's properties.
  ///
  /// Events that share a set share its storage.
  public var properties: Properties { batch.properties(at: index) }

  /// Gives the bytes of each name and value of the properties, in their order, where they lie: for
  /// who looks at each event once.
  ///
  /// - Parameter body: called once for each property; its bytes are valid for that call alone.
  /// - Throws: what `body` throws, at once.
  @inlinable
  public func forEachProperty<Failure: Error>(
    _ body: (_ name: RawSpan, _ value: RawSpan) throws(Failure) -> Void
  ) throws(Failure) {
    try propertyTexts.forEach(of: propertyNumbers, body)
  }

  /// The system properties.
  public var systemProperties: SystemProperties { batch.systemProperties(at: index) }

  /// The text of one system property, nil if the event has none.
  public subscript(property: SystemProperty) -> String? { batch.text(property, at: index) }

  /// A copy that does not keep the batch alive.
  public var event: Event { batch.event(at: index) }
}

/// What loops over events are built from: generics are inlined into the caller and call these, so
/// that no caller is compiled against the inside of another module.
extension EventView {
  @usableFromInline
  var deviceIDBytes: RawSpan {
    @_lifetime(borrow self)
    get { batch.deviceID(at: index) }
  }

  @usableFromInline
  var propertyTexts: PropertyTexts {
    @_lifetime(borrow self)
    get { batch.propertyTexts }
  }

  @usableFromInline
  var propertyNumbers: PropertyNumbers {
    @_lifetime(borrow self)
    get { batch.propertyNumbers(at: index) }
  }
}
