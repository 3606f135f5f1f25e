// The official JavaScript client, as its users install it, against one running weir (WEIR_URL). One process, one
// client: the last test tells which of the client's methods were called.

import './quickstart.js'
import './events.js'
import './meters.js'
import './query.js'
import './by_customer.js'
import './subjects.js'
import './customers.js'
import './features.js'
import './entitlements.js'
import './info.js'
import './methods.js'
