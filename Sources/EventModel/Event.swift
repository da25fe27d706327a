/// One piece of telemetry: device to cloud.
///
/// The body is opaque.
public struct Event: Hashable, Sendable {
  /// The device that sent it.
  public var deviceID: DeviceID
  /// Its bytes; may be empty.
  public var body: Payload
  /// Names and values of the application.
  public var properties: Properties
  /// What the hub and its clients give a fixed meaning.
  public var systemProperties: SystemProperties
  /// When it was accepted.
  ///
  /// Nil lets the store take its clock; an import may bring its own, which is kept monotonic in the
  /// partition and refused when more than a day ahead of the clock.
  public var enqueuedTime: Timestamp?

  /// Makes an event.
  public init(
    from deviceID: DeviceID, body: Payload, contentType: String? = nil,
    contentEncoding: String? = nil, messageID: MessageID? = nil, correlationID: String? = nil,
    userID: String? = nil, moduleID: DeviceID? = nil, creationTime: String? = nil,
    properties: Properties = .empty, enqueuedTime: Timestamp? = nil
  ) {
    self.deviceID = deviceID
    self.body = body
    self.properties = properties
    self.enqueuedTime = enqueuedTime
    systemProperties = .empty
    systemProperties[.contentType] = contentType
    systemProperties[.contentEncoding] = contentEncoding
    systemProperties[.messageID] = messageID?.text
    systemProperties[.correlationID] = correlationID
    systemProperties[.userID] = userID
    systemProperties[.moduleID] = moduleID?.description
    systemProperties[.creationTime] = creationTime
  }

  /// The size that ``Limits/eventSizeMax`` bounds: body, values of system properties, names and
  /// values of application properties (the hub's formula).
  public var size: Int { body.count + systemProperties.size + properties.size }
}
