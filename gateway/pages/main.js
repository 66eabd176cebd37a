/** The page: a person gives a key, and sees jobs and tenants, and does what the API does. */

import { KeyForm } from "./key.js";
import { keepTime } from "./moments.js";
import { keepTheme } from "./theme.js";

keepTheme();
keepTime();
new KeyForm().open();
