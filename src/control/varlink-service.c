/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "control/json-message.h"
#include "control/varlink.h"

#define SERVICE_INTERFACE "org.varlink.service"

static const char service_description[] =
	"# The interface of every Varlink service\n"
	"interface org.varlink.service\n"
	"\n"
	"method GetInfo() -> (vendor: string, product: string, version: string, url: string,\n"
	"  interfaces: []string)\n"
	"method GetInterfaceDescription(interface: string) -> (description: string)\n"
	"\n"
	"error InterfaceNotFound(interface: string)\n"
	"error MethodNotFound(method: string)\n"
	"error MethodNotImplemented(method: string)\n"
	"error InvalidParameter(parameter: string)\n"
	"error PermissionDenied()\n"
	"error ExpectedMore()\n";

static int handle_get_info(struct varlink_call *call, void *data)
{
	struct json_object *info = json_object_new_object();
	struct json_object *interfaces = json_object_new_array();

	json_append(interfaces, json_object_new_string(SERVICE_INTERFACE));
	json_append(interfaces,
		    json_object_new_string(varlink_get_config(call->server)->interface));
	json_add(info, "vendor", json_object_new_string("Sluice"));
	json_add(info, "product", json_object_new_string("sluiced"));
	json_add(info, "version", json_object_new_string(SLUICE_VERSION));
	json_add(info, "url", json_object_new_string(""));
	json_add(info, "interfaces", interfaces);
	varlink_reply(call->server, call->slot, info, false);
	return 0;
}

static int handle_get_description(struct varlink_call *call, void *data)
{
	const struct varlink_config *config = varlink_get_config(call->server);
	struct json_object *name = json_object_object_get(call->parameters, "interface");
	const char *interface = name ? json_object_get_string(name) : "";
	struct json_object *reply = json_object_new_object();
	const char *text = NULL;

	if (strcmp(interface, config->interface) == 0)
		text = config->description;
	else if (strcmp(interface, SERVICE_INTERFACE) == 0)
		text = service_description;
	if (!text) {
		json_add(reply, "interface", json_object_new_string(interface));
		varlink_error(call->server, call->slot, SERVICE_INTERFACE ".InterfaceNotFound",
			      reply);
		return 0;
	}
	json_add(reply, "description", json_object_new_string(text));
	varlink_reply(call->server, call->slot, reply, false);
	return 0;
}

const struct varlink_method varlink_service_methods[] = {
	{ SERVICE_INTERFACE ".GetInfo", handle_get_info, { { NULL } } },
	{ SERVICE_INTERFACE ".GetInterfaceDescription",
	  handle_get_description,
	  { { "interface", json_type_string } } },
};
const size_t n_varlink_service_methods = ARRAY_SIZE(varlink_service_methods);

static const struct varlink_parameter *find_parameter(const struct varlink_method *method,
						      const char *name)
{
	for (size_t i = 0; i < VARLINK_PARAMETERS_MAX && method->parameters[i].name; i++)
		if (strcmp(method->parameters[i].name, name) == 0)
			return &method->parameters[i];
	return NULL;
}

const char *varlink_check(const struct varlink_method *method, struct json_object *parameters)
{
	if (!parameters)
		return NULL;
	json_object_object_foreach(parameters, name, value)
	{
		const struct varlink_parameter *known = find_parameter(method, name);

		/* null means absent */
		if (!known || (value && !json_object_is_type(value, known->type)))
			return name;
	}
	return NULL;
}
