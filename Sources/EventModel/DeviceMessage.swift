/// One command: cloud to device.
///
/// The body is opaque. It waits in the device's queue until the device settles it or its time to
/// live ends.
public struct DeviceMessage: Hashable, Sendable {
  /// Its bytes; may be empty.
  public var body: Payload
  /// Names and values of the application.
  public var properties: Properties
  /// What the hub and its clients give a fixed meaning.
  public var systemProperties: SystemProperties
  /// How long it waits for its device; nil for what the store is configured with.
  public var timeToLive: Duration?
  /// When it expires; goes before ``timeToLive``.
  public var expiryTime: Timestamp?
  /// Which outcomes give a feedback record; nil for what the store is configured with.
  public var feedback: FeedbackMode?

  /// Makes a message.
  ///
  /// Feedback names the message by its id: without one it cannot be told from others.
  public init(
    id: MessageID? = nil, body: Payload, contentType: String? = nil,
    contentEncoding: String? = nil, correlationID: String? = nil, userID: String? = nil,
    generationID: String? = nil, properties: Properties = .empty, timeToLive: Duration? = nil,
    expiryTime: Timestamp? = nil, feedback: FeedbackMode? = nil
  ) {
    self.body = body
    self.properties = properties
    self.timeToLive = timeToLive
    self.expiryTime = expiryTime
    self.feedback = feedback
    systemProperties = .empty
    systemProperties[.messageID] = id?.text
    systemProperties[.contentType] = contentType
    systemProperties[.contentEncoding] = contentEncoding
    systemProperties[.correlationID] = correlationID
    systemProperties[.userID] = userID
    systemProperties[.generationID] = generationID
  }

  /// Makes a message of what was stored of one.
  package init(
    body: Payload, properties: Properties, systemProperties: SystemProperties,
    expiryTime: Timestamp?, feedback: FeedbackMode?
  ) {
    self.body = body
    self.properties = properties
    self.systemProperties = systemProperties
    self.expiryTime = expiryTime
    self.feedback = feedback
  }

  /// The size that ``Limits/messageSizeMax`` bounds: body, values of system properties, names and
  /// values of application properties (the hub's formula).
  public var size: Int { body.count + systemProperties.size + properties.size }
}
